"""Deletes, published to every flow that writes a keyspace: rows by part and day (a time bucket), expiring by TTL."""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from secrets import randbits
from typing import Any, Final

from connectors.cassandra.cassandra_facts import WriterClock
from connectors.cassandra.cassandra_schema import REMOVALS
from connectors.cassandra.cassandra_session import CassandraSession, Statement
from connectors.store.conditions import in_batches
from connectors.store.shared_removals import SharedRemoval, SharedRemovals
from core.removals import REMEMBERED

_PUT: Final = f"INSERT INTO {REMOVALS} (part, day, at, flow, names, times) VALUES (?, ?, ?, ?, ?, ?) USING TTL ?"
_SINCE: Final = f"SELECT at, flow, names, times FROM {REMOVALS} WHERE part = ? AND day = ? AND at > ?"
_OF_A_DAY: Final = (
    f"SELECT at, flow, names, times FROM {REMOVALS} WHERE part = ? AND day = ? ORDER BY at DESC, flow DESC"
)
_DAYS: Final = f"SELECT DISTINCT part, day FROM {REMOVALS}"
"""Query for the days that have rows: querying each day of a month, one after the other, takes a second."""
_NAMES: Final = 500
"""Maximum names per row."""
_SECOND: Final = 10**6
_OVERLAP: Final = 60 * _SECOND
"""Tolerated clock skew between machines, in microseconds: each read overlaps the one before by it."""
_DAY_SECONDS: Final = 86_400
_DAY: Final = _DAY_SECONDS * _SECOND
_MOST_DAYS: Final = 3650


class CassandraRemovals(SharedRemovals):
    """Deletes of one part, exchanged with the same part of other flows, which writes the same posts.

    Args:
        session: With the keyspace.
        part: Number of the part.
        clock: Clock of the part's writes.
        memory_days: Days for which a delete is remembered.
    """

    def __init__(self, session: CassandraSession, part: int, clock: WriterClock, memory_days: float = math.inf) -> None:
        super().__init__(session.place.keyspace, memory_days)
        self._session = session
        self._part = part
        self._clock = clock
        self._days = math.ceil(min(memory_days, _MOST_DAYS))
        self._flow = randbits(63)
        self._last = 0
        self._taken: set[tuple[int, int]] = set()
        """(time, flow) of the rows read within the overlap."""

    def _write(self, removals: Sequence[SharedRemoval]) -> None:
        ttl = max(1, self._days * _DAY_SECONDS)
        statements = []
        for batch in in_batches(list(removals), _NAMES):
            at = self._clock.next()
            names, times = [_signed(it.name) for it in batch], [it.said for it in batch]
            statements.append(Statement(_PUT, (self._part, at // _DAY, at, self._flow, names, times, ttl)))
        self._session.run(statements)

    def _news(self) -> Iterable[tuple[SharedRemoval, float]]:
        now = time.time_ns() // 1000
        if not self._last:
            rows = self._all(now // _DAY)
            self._last = now
        else:
            since = self._last - _OVERLAP
            days = range(since // _DAY, (max(now, self._last) + _OVERLAP) // _DAY + 1)
            found = self._session.run(Statement(_SINCE, (self._part, day, since)) for day in days)
            rows = [row for of_day in found for row in of_day if (row.at, row.flow) not in self._taken]
            self._taken = {it for it in self._taken if it[0] > since}
        self._taken |= {(row.at, row.flow) for row in rows if row.at > self._last - _OVERLAP}
        self._last = max([self._last, *(row.at for row in rows if row.flow != self._flow)])
        return [
            (SharedRemoval(name % 2**64, said), row.at / _SECOND)
            for row in rows
            if row.flow != self._flow
            for name, said in zip(row.names, row.times, strict=True)
        ]

    def _all(self, today: int) -> list[Any]:
        """Return the newest rows, up to `REMEMBERED` names, oldest first."""
        found: list[Any] = []
        remaining = REMEMBERED
        for row in self._rows_of(range(today + 1, today - self._days - 1, -1)):
            found.append(row)
            remaining -= len(row.names)
            if remaining <= 0:
                break
        return found[::-1]

    def _rows_of(self, days: range) -> Iterator[Any]:
        """Yield this part's rows of some days, skipping days without rows."""
        existing = {row.day for row in self._session.rows(_DAYS) if row.part == self._part}
        for day in days:
            if day in existing:
                yield from self._session.rows(_OF_A_DAY, (self._part, day))


def _signed(name: int) -> int:
    """Convert an unsigned 64-bit hash to the signed range of a bigint."""
    return name - 2**64 if name >= 2**63 else name
