"""Helpers for SQL conditions in LanceDB's dialect."""

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

T = TypeVar("T")

NAMES_PER_CONDITION: Final = 1000
"""Maximum number of names or keys in one condition, and of rows in one update; more would make the SQL too long."""


def in_batches(items: list[T], most: int = NAMES_PER_CONDITION) -> Iterator[list[T]]:
    """Yield the items in batches of at most `most`, by default as many as fit into one condition.

    >>> list(in_batches([1, 2, 3], 2))
    [[1, 2], [3]]
    """
    return (items[start : start + most] for start in range(0, len(items), most))


def sql_list(names: Iterable[str]) -> str:
    """Quote and escape untrusted names as the list inside `IN (…)`.

    >>> sql_list(["a", "b'c"])
    "'a', 'b''c'"
    """
    return ", ".join("'" + name.replace("'", "''") + "'" for name in names)
