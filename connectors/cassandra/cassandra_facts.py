"""Numbers about a keyspace, one row each: the highest cluster id, and when each writer last changed each table."""

import time
from collections.abc import Mapping
from typing import Final

from connectors.cassandra.cassandra_schema import FACTS
from connectors.cassandra.cassandra_session import CassandraSession, Statement

HIGHEST: Final = "highest cluster"
ERASED: Final = "last delete"
"""Name of the time of the last delete, in seconds since 1970."""
_CHANGED: Final = "changed "
_NUMBERS: Final = f"SELECT name, number FROM {FACTS}"
_RAISE: Final = f"INSERT INTO {FACTS} (name, number) VALUES (?, ?) USING TIMESTAMP ?"


class WriterClock:
    """Strictly increasing timestamps in microseconds since 1970, even if the system clock goes backwards."""

    def __init__(self, last: int = 0) -> None:
        self.last = last

    def next(self) -> int:
        """Return a timestamp later than all earlier ones."""
        self.last = max(self.last + 1, time.time_ns() // 1000)
        return self.last


def raise_number(name: str, number: int) -> Statement:
    """Return the statement that raises a number. It is its own write timestamp, so the highest value wins."""
    return Statement(_RAISE, (name, number, number + 1))


def note_change(writer: str, clock: WriterClock) -> Statement:
    """Return the statement that records a change; `writer` is `TABLE.PART` or the name of a table."""
    return raise_number(_CHANGED + writer, clock.next())


def numbers(session: CassandraSession) -> dict[str, int]:
    """Read all numbers, by name; raises `WorldError`."""
    return {row.name: row.number for row in session.rows(_NUMBERS) if row.number is not None}


def changes_in(numbers: Mapping[str, int], table: str) -> tuple[tuple[str, int], ...]:
    """Return a table's change times, one per writer: they differ once any writer has changed the table."""
    return tuple(sorted(it for it in numbers.items() if it[0].startswith(_CHANGED + table)))
