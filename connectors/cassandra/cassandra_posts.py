"""Writer of posts into a keyspace: each part of a flow writes the posts whose ids hash to it, and their lookup rows.

The row of a post is written after its lookup rows and deleted after them, and they are derived from it. So if a writer
is killed in between, writing the same rows again repairs everything.
"""

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from connectors.cassandra.cassandra_changes import PostChanges
from connectors.cassandra.cassandra_facts import HIGHEST, note_change, raise_number
from connectors.cassandra.cassandra_images import CassandraImages
from connectors.cassandra.cassandra_removals import CassandraRemovals
from connectors.cassandra.cassandra_schema import (
    HIDING,
    MONTHS,
    POSTS_BY_CLUSTER,
    custom_as_columns,
    quoted,
    stored_columns,
    widen,
)
from connectors.cassandra.cassandra_session import CassandraSession, Statement, unset
from connectors.cassandra.cassandra_values import to_cql
from connectors.cassandra.cluster_redirects import ClusterRedirects
from connectors.cassandra.lookups import (
    LOOKED_AT,
    REFERRING,
    Lookup,
    account_key,
    delete_lookup,
    insert_lookup,
    known_rows,
    last_timestamp,
    listed_time,
    lookups_of,
    write_timestamp,
)
from connectors.cassandra.post_deletes import PostDeletes
from connectors.control.request_kinds import COMPACT
from connectors.sinks.record_table import POSTS, THUMBNAILS
from connectors.sinks.sink import Mark, Row, TableCommand
from connectors.sinks.table_writer import WrittenTable
from connectors.store.arrow_schema import arrow_schema
from connectors.store.cluster_ids import spans
from connectors.store.custom_values import with_custom_values
from core.bounded_dict import BoundedDict
from core.columns import Table
from core.records import ClusterEvent, Removal, Thumbnail
from core.telemetry import STORE_WRITES
from core.times import time_or_none

_KEY: Final = "global_id"
_FIRST_PART: Final = 0
"""The part that writes what a keyspace has once: merges, splits, hidden accounts."""
_MOST_MONTHS: Final = 100_000
_DAY_SECONDS: Final = 86_400


class CassandraPosts(WrittenTable):
    """Writer of the posts of one part.

    Args:
        session: With the keyspace.
        table: Columns that the flow writes.
        mark: `mark()` from a snapshot.
        part: Number of the part.
        notes: Local folder of notes about the store.
        memory_days: Days for which a delete is remembered.
        retention_days: Days after ingestion until a post expires (TTL); 0: never.
    """

    def __init__(
        self,
        session: CassandraSession,
        table: Table,
        mark: Mark,
        part: int,
        notes: Path,
        memory_days: float = math.inf,
        retention_days: float = 0.0,
    ) -> None:
        """Add missing columns to the table; raises `WorldError` if it does not exist or has other types."""
        widen(session, [table, THUMBNAILS])
        self._session = session
        self._part = part
        self._retention = retention_days * _DAY_SECONDS
        custom = custom_as_columns(session)
        names = {it.name for it in custom}
        self._columns = [it for it in stored_columns(table) if it.name not in names] + custom
        self._custom = {it.name: it.type for it in arrow_schema(Table(POSTS, _KEY, tuple(custom)))}
        self._images = CassandraImages(session, part, round(self._retention))
        self._changes = PostChanges(session, part)
        state = mark["taken_back"] if mark else None
        self._deletes = PostDeletes(session, self._images, self._changes, part, notes, state, memory_days)
        self._removals = CassandraRemovals(session, part, self._changes.clock, memory_days)
        self._redirects: ClusterRedirects | None = None
        if part == _FIRST_PART:
            self._redirects = ClusterRedirects(session, mark["clusters"] if mark else None, spans(notes))
        self._highest = -1
        self._must_catch_up = True
        self._months: BoundedDict[tuple[int, int], None] = BoundedDict(_MOST_MONTHS)
        marks = ", ".join("?" * (len(self._columns) + 2))
        listed = ", ".join(quoted(it.name) for it in self._columns)
        self._put = f"INSERT INTO {POSTS} ({listed}, version, listed) VALUES ({marks}) USING TIMESTAMP ? AND TTL ?"

    def upsert(self, rows: list[Row]) -> None:
        """Write rows; of several with one key the highest revision wins, then the last one. Raises `WorldError`.

        Rows of deleted posts are skipped. Rows that another flow deletes at the same time are deleted again afterwards.
        """
        self._begin()
        self._apply_removals(rows)
        written = self._upsert(rows)
        if self._removals.refresh():
            names = self._apply_removals(rows)
            # A tombstone written before its row hides the row, so its lookup rows cannot be derived from the table.
            orphaned = [it for it in written if it["row"][_KEY] in names]
            self._session.run(
                delete_lookup(lookup, last_timestamp(it["version"]))
                for it in orphaned
                for lookup in lookups_of({**it["row"], "listed": it["listed"]})
            )

    def _apply_removals(self, rows: list[Row]) -> set[str]:
        """Delete those of `rows` that another flow deletes; return their ids."""
        if gone := self._removals.gone(rows):
            self._deletes.delete(gone)
            self._changes.done()
        return {it.global_id for it in gone}

    def _upsert(self, rows: list[Row]) -> list[dict[str, Any]]:
        """Write rows except those of deleted posts; return what was written, in the form of `_prepared`."""
        unique: dict[str, Row] = {}
        for row in sorted(rows, key=lambda row: row["revision"]):
            unique[row[_KEY]] = row
        refused = [row for row in unique.values() if self._deletes.is_gone(row)]
        if refused:
            self._deletes.refuse(refused)
        gone = {row[_KEY] for row in refused}
        accepted = [row for row in unique.values() if row[_KEY] not in gone]
        before = known_rows(self._session, [row[_KEY] for row in accepted], LOOKED_AT)
        wanted = [it for row in accepted if (it := self._prepared(row, before.get(row[_KEY]))) is not None]
        if wanted:
            self._write(wanted, {it["row"][_KEY]: before.get(it["row"][_KEY]) for it in wanted})
        return wanted

    def execute(self, command: TableCommand) -> None:
        """Drop thumbnails that no post uses; Cassandra compacts its tables by itself. Raises `WorldError`."""
        if command.kind != COMPACT.name:
            raise AssertionError(f"unknown command {command.kind!r}")
        if self._part == _FIRST_PART:
            self._images.sweep()

    def apply_events(self, events: list[ClusterEvent]) -> None:
        """Apply merges and splits, if this is the part that writes them; raises `WorldError`."""
        if self._redirects is not None:
            self._redirects.add(events)

    def remove(self, removals: list[Removal]) -> None:
        """Delete posts, and record which accounts are hidden; raises `WorldError`.

        Removals are first published to every other flow that writes the keyspace.
        """
        self._removals.publish(removals)
        for hidden, run in groupby(removals, lambda it: it.hidden):
            group = list(run)
            if hidden is None:
                self._deletes.delete(group)
            elif self._part == _FIRST_PART:
                self._hide(group)
        self._changes.done()

    def write_thumbnails(self, thumbnails: list[Thumbnail]) -> None:
        """Write the thumbnails of posts, except of deleted ones; raises `WorldError`."""
        self._images.keep(it for it in thumbnails if not self._deletes.is_gone_post(it.post))

    def mark(self) -> Mark:
        """Return merges, splits and recent deletes for a snapshot; raises `WorldError`."""
        self._begin()
        state = self._redirects.merges.state() if self._redirects is not None else None
        return {"version": 1, "clusters": state, "taken_back": self._deletes.state()}

    def _begin(self) -> None:
        """Catch up once before the first write: a check whether the table can be written must change nothing."""
        if self._redirects is not None:
            self._redirects.begin()
        if self._must_catch_up:
            self._removals.refresh()
            self._must_catch_up = False

    def _prepared(self, row: Row, before: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Return a row with its version, listed time, timestamp and TTL; None if a newer one is stored, or it expired.

        Keys: `row`, `version`, `listed`, `at` (write timestamp), `seconds` (TTL).
        """
        if before is not None and (before["revision"] or 0) > row["revision"]:
            return None
        joined = time_or_none(row["joined_time"]) or datetime.now(UTC)
        seconds = self._seconds_left(row, joined)
        if seconds is None:
            return None
        version = row["revision"] + self._deletes.version_before(row, before)
        listed = listed_time(row["created_time"], joined)
        if before is not None and before["listed"] is not None and listed == joined:
            listed = before["listed"]  # the post has no plausible time of its own: keep its place
        original = row["duplicate_of"]
        if original and self._deletes.is_gone_original(original):
            row = {**row, "duplicate_of": None}
        row = with_custom_values(row, self._custom)
        return {
            "row": row,
            "version": version,
            "listed": listed,
            "at": write_timestamp(version, joined),
            "seconds": seconds,
        }

    def _seconds_left(self, row: Row, joined: datetime) -> int | None:
        """Return the TTL of a row in seconds, 0: for ever; None if it has already expired.

        It counts from ingestion, so that a replay does not prolong it.
        """
        if not self._retention:
            return 0
        age = (datetime.now(UTC) - (time_or_none(row["ingestion_time"]) or joined)).total_seconds()
        left = math.ceil(self._retention - max(0.0, age))
        return left if left > 0 else None

    def _write(self, wanted: list[dict[str, Any]], before: Mapping[str, Mapping[str, Any] | None]) -> None:
        """Delete outdated lookup rows, insert the new ones, then write the rows themselves."""
        gone: list[Statement] = []
        new_lookups: list[Statement] = []
        images = set()
        for it in wanted:
            row, known = it["row"], before[it["row"][_KEY]]
            new = lookups_of({**row, "listed": it["listed"]})
            old = lookups_of(known) if known is not None else set()
            if known is not None:
                gone += [delete_lookup(lookup, last_timestamp(known["version"])) for lookup in old - new]
                if known["picture_sha256"] not in (None, row["picture_sha256"]):
                    images.add(known["picture_sha256"])
            new_lookups += [insert_lookup(lookup, it["at"], it["seconds"]) for lookup in new]
            new_lookups += self._month(new)
        highest = max(it["row"]["cluster"] for it in wanted)
        if highest > self._highest:  # before the rows, so that no other cluster ever reuses the id
            self._session.run([raise_number(HIGHEST, highest)])
            self._highest = highest
        self._session.run([*gone, *self._changes.log_statements(it["row"][_KEY] for it in wanted)])
        self._session.run(new_lookups)
        self._session.run(self._put_post(it, before[it["row"][_KEY]]) for it in wanted)
        STORE_WRITES.labels(POSTS).inc()
        self._images.drop_unused(images)
        self._changes.done()

    def _put_post(self, it: Mapping[str, Any], before: Mapping[str, Any] | None) -> Statement:
        """Return the statement that inserts a prepared row, which replaces the stored row `before`, if any."""
        row = it["row"]
        values = [to_cql(column.name, column.type, row.get(column.name)) for column in self._columns]
        if before is None and it["version"] == 1:  # a new row: leave values unset, since each null writes a tombstone
            values = [unset() if value is None else value for value in values]
        return Statement(self._put, (*values, it["version"], it["listed"], it["at"], it["seconds"]))

    def _month(self, lookups: Iterable[Lookup]) -> list[Statement]:
        """Return the statements that record in which months each cluster has posts, once per month."""
        found = []
        for table, key in lookups:
            if table == POSTS_BY_CLUSTER and key[:2] not in self._months:
                self._months[key[:2]] = None
                found.append(Statement(f"INSERT INTO {MONTHS} (cluster, month) VALUES (?, ?)", key[:2]))
        return found

    def _hide(self, removals: list[Removal]) -> None:
        """Record accounts as hidden or visible again. The latest removal wins in whatever order they arrive."""
        hidden = f"INSERT INTO {HIDING} (account, is_hidden) VALUES (?, true) USING TIMESTAMP ?"
        shown = f"DELETE FROM {HIDING} USING TIMESTAMP ? WHERE account = ?"
        for it in removals:
            said = round((it.time or datetime.now(UTC)).timestamp() * 1e6)
            account = account_key(it.author, it.source)
            self._session.run([Statement(hidden, (account, said)) if it.hidden else Statement(shown, (said, account))])
        self._session.run([note_change(HIDING, self._changes.clock)])
        accounts = {account_key(it.author, it.source) for it in removals}
        found = self._session.run(Statement(REFERRING, (it,)) for it in accounts)
        self._session.run(self._changes.log_statements(row.global_id for rows in found for row in rows))
