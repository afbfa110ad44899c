"""What is deleted in a keyspace, told to every flow that writes it: rows by part and day, which go by themselves."""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from secrets import randbits
from typing import Any, Final

from connectors.cassandra.cassandra_facts import WriterClock
from connectors.cassandra.cassandra_schema import REMOVALS
from connectors.cassandra.cassandra_session import CassandraSession, Statement
from connectors.store.conditions import pieces
from connectors.store.shared_removals import SharedRemoval, SharedRemovals
from core.removals import REMEMBERED

_PUT: Final = f"INSERT INTO {REMOVALS} (part, day, at, flow, names, times) VALUES (?, ?, ?, ?, ?, ?) USING TTL ?"
_SINCE: Final = f"SELECT at, flow, names, times FROM {REMOVALS} WHERE part = ? AND day = ? AND at > ?"
_OF_A_DAY: Final = (
    f"SELECT at, flow, names, times FROM {REMOVALS} WHERE part = ? AND day = ? ORDER BY at DESC, flow DESC"
)
_DAYS: Final = f"SELECT DISTINCT part, day FROM {REMOVALS}"
"""Those of which there is anything: to ask for each of a month, one after the other, takes a second."""
_NAMES: Final = 500
"""In one row."""
_SECOND: Final = 10**6
_OVERLAP: Final = 60 * _SECOND
"""So far the clocks of machines may differ."""
_DAY_SECONDS: Final = 86_400
_DAY: Final = _DAY_SECONDS * _SECOND
_MOST_DAYS: Final = 3650


class CassandraRemovals(SharedRemovals):
    """Those of one part of a flow, told to and by the same part of other flows, which writes the same posts.

    Args:
        session: With the keyspace.
        part: Its number.
        clock: Of the part.
        memory_days: For so long a delete is remembered.
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
        """What was taken in of the overlap."""

    def _write(self, told: Sequence[SharedRemoval]) -> None:
        kept = max(1, self._days * _DAY_SECONDS)
        statements = []
        for some in pieces(list(told), _NAMES):
            at = self._clock.next()
            names, times = [_signed(it.name) for it in some], [it.said for it in some]
            statements.append(Statement(_PUT, (self._part, at // _DAY, at, self._flow, names, times, kept)))
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
            rows = [row for some in found for row in some if (row.at, row.flow) not in self._taken]
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
        """The newest rows that hold as many names as are remembered, the oldest first."""
        found: list[Any] = []
        left = REMEMBERED
        for row in self._rows_of(range(today + 1, today - self._days - 1, -1)):
            found.append(row)
            left -= len(row.names)
            if left <= 0:
                break
        return found[::-1]

    def _rows_of(self, days: range) -> Iterator[Any]:
        there = {row.day for row in self._session.rows(_DAYS) if row.part == self._part}
        for day in days:
            if day in there:
                yield from self._session.rows(_OF_A_DAY, (self._part, day))


def _signed(name: int) -> int:
    return name - 2**64 if name >= 2**63 else name
