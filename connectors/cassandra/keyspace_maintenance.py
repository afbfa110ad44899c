"""A keyspace as a whole, where no flow writes it: looked at, and posts deleted from it."""

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
from connectors.cassandra.cassandra_takings import Takings, named_rows
from connectors.cassandra.lookups import PARTS, known_rows
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
    """What a table of a keyspace is like, in which no key can be twice."""

    unused: int
    """Rows of a lookup table whose post is not there, as a flow that is killed leaves some until it goes on."""
    indexes: int


def facts_of_keyspace(session: CassandraSession) -> list[KeyspaceFacts]:
    """Read the keys of each table; raises `WorldError` where there is none, or one cannot be read."""
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
        while some := list(islice(posts, _AT_ONCE)):
            there = known_rows(session, some, ("global_id",))
            rows += len(some)
            unused += sum(it not in there for it in some)
        found.append(KeyspaceFacts(table, rows, 0, unused, 0))
    return found


def forget_in_keyspace(session: CassandraSession, notes: Path, removals: Sequence[Removal]) -> str:
    """Delete what is taken back, where no flow runs; says what went. Done twice it is as if it were done once.

    Raises `WorldError`.
    """
    before = len(named_rows(session, removals, range(PARTS)))
    for part in range(PARTS):
        changes = PostChanges(session, part)
        CassandraRemovals(session, part, changes.clock).publish(removals)
        Takings(session, CassandraImages(session, part, 0), changes, part, notes, None).delete(removals)
        changes.done()
    CassandraImages(session, 0, 0).sweep()
    return f"{before:,} rows deleted"


def in_keyspace(session: CassandraSession, names: LookedFor) -> Iterator[Remnant]:
    """Look through the rows of all tables; what deleted rows left in the files of its nodes nobody can look through."""
    for table, columns in sorted(session.types().items()):
        texts = [it for it, type_ in columns.items() if type_ in _HOLD_TEXT]
        if not texts:
            continue
        rows = session.rows(f"SELECT {', '.join(map(quoted, texts))} FROM {table}")
        if any(names.in_value(list(row)) for row in rows):
            if table == CHANGES:
                yield Remnant(f"table {table}", "it tells readers what was changed", f"{KEPT_HOURS} hours after that")
            else:
                yield Remnant(f"table {table}", "a row has it", "until it is deleted: `memewax forget`")
    erased = numbers(session).get(ERASED)
    if erased is not None:
        cql = "SELECT gc_grace_seconds FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?"
        (kept,) = session.rows(cql, (session.place.keyspace, POSTS))
        since = datetime.fromtimestamp(erased, UTC).isoformat()
        yield Remnant(
            f"files of the nodes of {session.place}",
            f"they may hold what was deleted, last at {since}",
            f"until compaction, {kept.gc_grace_seconds:,} s after that or later (gc_grace_seconds): "
            f"`nodetool compact {session.place.keyspace}` on each node",
        )
