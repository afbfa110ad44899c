"""Numbers about a keyspace, a row each: the highest cluster, and when writers changed something last."""

import time
from collections.abc import Mapping
from typing import Final

from connectors.cassandra.cassandra_schema import FACTS
from connectors.cassandra.cassandra_session import CassandraSession, Statement

HIGHEST: Final = "highest cluster"
ERASED: Final = "last delete"
"""In seconds since 1970."""
_CHANGED: Final = "changed "
_NUMBERS: Final = f"SELECT name, number FROM {FACTS}"
_RAISE: Final = f"INSERT INTO {FACTS} (name, number) VALUES (?, ?) USING TIMESTAMP ?"


class WriterClock:
    """Microseconds since 1970 that only go up, whatever the machine's clock does."""

    def __init__(self, last: int = 0) -> None:
        self.last = last

    def next(self) -> int:
        """A time after all that it gave before."""
        self.last = max(self.last + 1, time.time_ns() // 1000)
        return self.last


def raised(name: str, number: int) -> Statement:
    """What raises a number: of all that are written the highest stays, since it is its own timestamp."""
    return Statement(_RAISE, (name, number, number + 1))


def changed(what: str, clock: WriterClock) -> Statement:
    """What says that a writer changed something in a table."""
    return raised(_CHANGED + what, clock.next())


def numbers(session: CassandraSession) -> dict[str, int]:
    """All that there are, by name."""
    return {row.name: row.number for row in session.rows(_NUMBERS) if row.number is not None}


def changes_in(numbers: Mapping[str, int], table: str) -> tuple[tuple[str, int], ...]:
    """Of all numbers those that differ where any writer of a table changed something."""
    return tuple(sorted(it for it in numbers.items() if it[0].startswith(_CHANGED + table)))
