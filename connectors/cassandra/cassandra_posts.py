"""Writes posts into a keyspace: each part of a flow writes those whose ids are its own, and what belongs to them.

The row of a post is the last of its rows to come and the last to go; what lies in lookup tables follows from it. So
whoever is killed in between leaves nothing that the same rows, written again, do not put right.
"""

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from connectors.cassandra.cassandra_changes import PostChanges
from connectors.cassandra.cassandra_facts import HIGHEST, changed, raised
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
from connectors.cassandra.cassandra_takings import Takings
from connectors.cassandra.cassandra_values import to_cql
from connectors.cassandra.cluster_redirects import ClusterRedirects
from connectors.cassandra.lookups import (
    LOOKED_AT,
    REFERRING,
    Lookup,
    account_key,
    dropped,
    known_rows,
    last_stamp,
    listed_time,
    lookups_of,
    put,
    stamp,
)
from connectors.control.request_kinds import COMPACT
from connectors.sinks.record_table import POSTS, THUMBNAILS
from connectors.sinks.sink import Mark, Order, Row
from connectors.sinks.table_writer import WrittenTable
from connectors.store.arrow_schema import arrow_schema
from connectors.store.cluster_ids import spans
from connectors.store.custom_values import with_own_values
from core.bounded_dict import BoundedDict
from core.columns import Table
from core.records import ClusterEvent, Removal, Thumbnail
from core.telemetry import STORE_WRITES
from core.times import time_or_none

_KEY: Final = "global_id"
_FIRST_PART: Final = 0
"""The part that writes what there is once in a keyspace: merges, splits, accounts that hide."""
_MOST_MONTHS: Final = 100_000
_DAY_SECONDS: Final = 86_400


class CassandraPosts(WrittenTable):
    """The rows of posts of one part.

    Args:
        session: With the keyspace.
        table: As it should be.
        mark: Of a snapshot.
        part: Its number.
        notes: Folder on this machine of what is noted of the store.
        memory_days: So long a delete is remembered.
        retention_days: So long after it was read a post is kept; 0: for ever.
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
        """Widen the table where it lacks a column; raises `WorldError` where it is not there or is another."""
        widen(session, [table, THUMBNAILS])
        self._session = session
        self._part = part
        self._retention = retention_days * _DAY_SECONDS
        own = custom_as_columns(session)
        names = {it.name for it in own}
        self._columns = [it for it in stored_columns(table) if it.name not in names] + own
        self._own = {it.name: it.type for it in arrow_schema(Table(POSTS, _KEY, tuple(own)))}
        self._images = CassandraImages(session, part, round(self._retention))
        self._changes = PostChanges(session, part)
        state = mark["taken_back"] if mark else None
        self._takings = Takings(session, self._images, self._changes, part, notes, state, memory_days)
        self._removals = CassandraRemovals(session, part, self._changes.clock, memory_days)
        self._ways: ClusterRedirects | None = None
        if part == _FIRST_PART:
            self._ways = ClusterRedirects(session, mark["clusters"] if mark else None, spans(notes))
        self._highest = -1
        self._has_to_look = True
        self._months: BoundedDict[tuple[int, int], None] = BoundedDict(_MOST_MONTHS)
        marks = ", ".join("?" * (len(self._columns) + 2))
        listed = ", ".join(quoted(it.name) for it in self._columns)
        self._put = f"INSERT INTO {POSTS} ({listed}, version, listed) VALUES ({marks}) USING TIMESTAMP ? AND TTL ?"

    def upsert(self, rows: list[Row]) -> None:
        """Write rows; of several with one key the newest stays, or the last one. Raises `WorldError`.

        Those of posts that were taken back are left out; what another flow deletes at the same time goes again.
        """
        self._begin()
        self._take_out(rows)
        written = self._upsert(rows)
        if self._removals.look():
            names = self._take_out(rows)
            # A delete that was there before its row hides that, so that it would not be known what is to go with it.
            left = [it for it in written if it["row"][_KEY] in names]
            self._session.run(
                dropped(lookup, last_stamp(it["version"]))
                for it in left
                for lookup in lookups_of({**it["row"], "listed": it["listed"]})
            )

    def _take_out(self, rows: list[Row]) -> set[str]:
        """Delete the rows that another flow deleted, or will; gives their ids."""
        if gone := self._removals.gone(rows):
            self._takings.delete(gone)
            self._changes.done()
        return {it.global_id for it in gone}

    def _upsert(self, rows: list[Row]) -> list[dict[str, Any]]:
        """Write rows but those that were taken back; gives what was made of those that were written."""
        unique: dict[str, Row] = {}
        for row in sorted(rows, key=lambda row: row["revision"]):
            unique[row[_KEY]] = row
        refused = [row for row in unique.values() if self._takings.is_gone(row)]
        if refused:
            self._takings.refuse(refused)
        gone = {row[_KEY] for row in refused}
        there = [row for row in unique.values() if row[_KEY] not in gone]
        before = known_rows(self._session, [row[_KEY] for row in there], LOOKED_AT)
        wanted = [made for row in there if (made := self._made(row, before.get(row[_KEY]))) is not None]
        if wanted:
            self._write(wanted, {it["row"][_KEY]: before.get(it["row"][_KEY]) for it in wanted})
        return wanted

    def obey(self, order: Order) -> None:
        """Drop small images of no post; Cassandra puts its tables together by itself. Raises `WorldError`."""
        if order.kind != COMPACT.name:
            raise AssertionError(f"no table can {order.kind}")
        if self._part == _FIRST_PART:
            self._images.sweep()

    def rename(self, events: list[ClusterEvent]) -> None:
        """Take in what became of clusters, where that is this part's; raises `WorldError`."""
        if self._ways is not None:
            self._ways.add(events)

    def remove(self, removals: list[Removal]) -> None:
        """Take out what was taken back, and note which accounts hide; raises `WorldError`.

        First every other flow that writes the keyspace is told.
        """
        self._removals.publish(removals)
        for hidden, group in groupby(removals, lambda it: it.hidden):
            those = list(group)
            if hidden is None:
                self._takings.delete(those)
            elif self._part == _FIRST_PART:
                self._hide(those)
        self._changes.done()

    def show(self, thumbnails: list[Thumbnail]) -> None:
        """Keep images of posts, but not of those that were taken back; raises `WorldError`."""
        self._images.keep(it for it in thumbnails if not self._takings.is_gone_post(it.post))

    def mark(self) -> Mark:
        """What became of clusters, and what was taken back; raises `WorldError`."""
        self._begin()
        state = self._ways.merges.state() if self._ways is not None else None
        return {"version": 1, "clusters": state, "taken_back": self._takings.state()}

    def _begin(self) -> None:
        if self._ways is not None:
            self._ways.begin()
        if self._has_to_look:  # whoever only looks whether the table can be written does not come so far
            self._removals.look()
            self._has_to_look = False

    def _made(self, row: Row, before: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """What is written of a row; None where a newer one is there, or its time is over."""
        if before is not None and (before["revision"] or 0) > row["revision"]:
            return None
        joined = time_or_none(row["joined_time"]) or datetime.now(UTC)
        seconds = self._seconds_left(row, joined)
        if seconds is None:
            return None
        version = row["revision"] + self._takings.version_before(row, before)
        listed = listed_time(row["created_time"], joined)
        if before is not None and before["listed"] is not None and listed == joined:
            listed = before["listed"]  # it says no time of its own: it stays where it is
        original = row["duplicate_of"]
        if original and self._takings.is_gone_original(original):
            row = {**row, "duplicate_of": None}
        row = with_own_values(row, self._own)
        return {"row": row, "version": version, "listed": listed, "at": stamp(version, joined), "seconds": seconds}

    def _seconds_left(self, row: Row, joined: datetime) -> int | None:
        """How long a row is kept, 0 for ever; None where that is over."""
        if not self._retention:
            return 0
        age = (datetime.now(UTC) - (time_or_none(row["ingestion_time"]) or joined)).total_seconds()
        left = math.ceil(self._retention - max(0.0, age))
        return left if left > 0 else None

    def _write(self, wanted: list[dict[str, Any]], before: Mapping[str, Mapping[str, Any] | None]) -> None:
        """Write rows: first goes what no longer follows from them, then what does comes, the rows themselves last."""
        gone: list[Statement] = []
        come: list[Statement] = []
        images = set()
        for it in wanted:
            row, known = it["row"], before[it["row"][_KEY]]
            new = lookups_of({**row, "listed": it["listed"]})
            old = lookups_of(known) if known is not None else set()
            if known is not None:
                gone += [dropped(lookup, last_stamp(known["version"])) for lookup in old - new]
                if known["picture_sha256"] not in (None, row["picture_sha256"]):
                    images.add(known["picture_sha256"])
            come += [put(lookup, it["at"], it["seconds"]) for lookup in new]
            come += self._month(new)
        highest = max(it["row"]["cluster"] for it in wanted)
        if highest > self._highest:  # before the rows, so that no other cluster ever gets the id
            self._session.run([raised(HIGHEST, highest)])
            self._highest = highest
        self._session.run([*gone, *self._changes.noted(it["row"][_KEY] for it in wanted)])
        self._session.run(come)
        self._session.run(self._put_post(it, before[it["row"][_KEY]]) for it in wanted)
        STORE_WRITES.labels(POSTS).inc()
        self._images.drop_unused(images)
        self._changes.done()

    def _put_post(self, it: Mapping[str, Any], before: Mapping[str, Any] | None) -> Statement:
        row = it["row"]
        values = [to_cql(column.name, column.type, row.get(column.name)) for column in self._columns]
        if before is None and it["version"] == 1:  # nothing is there that a null would have to replace
            values = [unset() if value is None else value for value in values]
        return Statement(self._put, (*values, it["version"], it["listed"], it["at"], it["seconds"]))

    def _month(self, lookups: Iterable[Lookup]) -> list[Statement]:
        """What says in which months a cluster has posts, once for each."""
        found = []
        for table, key in lookups:
            if table == POSTS_BY_CLUSTER and key[:2] not in self._months:
                self._months[key[:2]] = None
                found.append(Statement(f"INSERT INTO {MONTHS} (cluster, month) VALUES (?, ?)", key[:2]))
        return found

    def _hide(self, removals: list[Removal]) -> None:
        """Note accounts that hide, and those that do not any more; the latest news counts, in whatever order."""
        hidden = f"INSERT INTO {HIDING} (account, is_hidden) VALUES (?, true) USING TIMESTAMP ?"
        shown = f"DELETE FROM {HIDING} USING TIMESTAMP ? WHERE account = ?"
        for it in removals:
            said = round((it.time or datetime.now(UTC)).timestamp() * 1e6)
            account = account_key(it.author, it.source)
            self._session.run([Statement(hidden, (account, said)) if it.hidden else Statement(shown, (said, account))])
        self._session.run([changed(HIDING, self._changes.clock)])
        accounts = {account_key(it.author, it.source) for it in removals}
        found = self._session.run(Statement(REFERRING, (it,)) for it in accounts)
        self._session.run(self._changes.noted(row.global_id for rows in found for row in rows))
