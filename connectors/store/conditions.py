"""Helpers for SQL conditions in LanceDB's dialect."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def pieces(items: list[T], most: int) -> Iterator[list[T]]:
    """Yield the items in batches of at most `most`, since a condition must not be too long.

    >>> list(pieces([1, 2, 3], 2))
    [[1, 2], [3]]
    """
    return (items[start : start + most] for start in range(0, len(items), most))


def listed(names: Iterable[str]) -> str:
    """Quote and escape untrusted names as the list inside `IN (…)`.

    >>> listed(["a", "b'c"])
    "'a', 'b''c'"
    """
    return ", ".join("'" + name.replace("'", "''") + "'" for name in names)
