"""Maintenance of a whole keyspace, without a flow: count rows, delete posts, look for remnants of deleted ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

from connectors.cassandra.cassandra_changes import KEPT_HOURS, PostChanges
from connectors.cassandra.cassandra_facts import ERASED, numbers
from connectors.cassandra.cassandra_images import CassandraImages
from connectors.cassandra.cassandra_removals import CassandraRemovals
from connectors.cassandra.cassandra_schema import (
    CHANGES,
    POSTS_BY_CLUSTER,
    POSTS_BY_HOUR,
    POSTS_BY_NAME,
    check_tables,
    quoted,
)
from connectors.cassandra.cassandra_session import CassandraSession
from connectors.cassandra.lookups import PARTS, known_rows
from connectors.cassandra.post_deletes import PostDeletes, matching_rows
from connectors.remnants import LookedFor, Remnant
from connectors.sinks.cluster_events import CLUSTERS
from connectors.sinks.record_table import POSTS, THUMBNAILS
from connectors.store.interface import TableFacts
from core.records import Removal

_COUNTED: Final = {POSTS: "global_id", CLUSTERS.name: CLUSTERS.key, THUMBNAILS.name: THUMBNAILS.key}
_FOUND_BY: Final = (POSTS_BY_CLUSTER, POSTS_BY_HOUR, POSTS_BY_NAME)
_AT_ONCE: Final = 1000
_HOLD_TEXT: Final = ("text", "frozen<list<text>>")


@dataclass(frozen=True, slots=True)
class KeyspaceFacts(TableFacts):
    """Counts of a table of a keyspace. Its `duplicates` is always 0: Cassandra's primary keys are unique."""

    unused: int
    """Lookup rows without a post. A killed flow may leave some until it resumes."""
    indexes: int


def facts_of_keyspace(session: CassandraSession) -> list[KeyspaceFacts]:
    """Count the rows of each table by reading its keys; raises `WorldError` if a table is missing or unreadable."""
    check_tables(session.place, session.types())
    indexes = session.indexed()
    found = [
        KeyspaceFacts(
            table,
            sum(1 for _ in session.rows(f"SELECT {key} FROM {table}")),
            0,
            0,
            sum(it.startswith(f"{table}_") for it in indexes),
        )
        for table, key in _COUNTED.items()
    ]
    for table in _FOUND_BY:
        posts = (row.global_id for row in session.rows(f"SELECT global_id FROM {table}"))
        rows = unused = 0
        while batch := list(islice(posts, _AT_ONCE)):
            existing = known_rows(session, batch, ("global_id",))
            rows += len(batch)
            unused += sum(it not in existing for it in batch)
        found.append(KeyspaceFacts(table, rows, 0, unused, 0))
    return found


def forget_in_keyspace(session: CassandraSession, notes: Path, removals: Sequence[Removal]) -> str:
    """Delete the posts that removals name, and report how many. Idempotent; raises `WorldError`."""
    before = len(matching_rows(session, removals, range(PARTS)))
    for part in range(PARTS):
        changes = PostChanges(session, part)
        CassandraRemovals(session, part, changes.clock).publish(removals)
        PostDeletes(session, CassandraImages(session, part, 0), changes, part, notes, None).delete(removals)
        changes.done()
    CassandraImages(session, 0, 0).sweep()
    return f"{before:,} rows deleted"


def in_keyspace(session: CassandraSession, names: LookedFor) -> Iterator[Remnant]:
    """Search the rows of all tables for names.

    The nodes' files cannot be searched. They are reported as a place that may still hold deleted rows.
    """
    for table, columns in sorted(session.types().items()):
        texts = [it for it, type_ in columns.items() if type_ in _HOLD_TEXT]
        if not texts:
            continue
        rows = session.rows(f"SELECT {', '.join(map(quoted, texts))} FROM {table}")
        if any(names.in_value(list(row)) for row in rows):
            if table == CHANGES:
                yield Remnant(f"table {table}", "it lists changes for readers", f"{KEPT_HOURS} hours after the change")
            else:
                yield Remnant(f"table {table}", "a row has it", "until it is deleted: `memewax forget`")
    erased = numbers(session).get(ERASED)
    if erased is not None:
        cql = "SELECT gc_grace_seconds FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?"
        (options,) = session.rows(cql, (session.place.keyspace, POSTS))
        since = datetime.fromtimestamp(erased, UTC).isoformat()
        yield Remnant(
            f"files of the nodes of {session.place}",
            f"they may hold deleted rows, the last deleted at {since}",
            f"until compaction, {options.gc_grace_seconds:,} s after that or later (gc_grace_seconds): "
            f"`nodetool compact {session.place.keyspace}` on each node",
        )
