"""Pieces of conditions in SQL, as LanceDB takes them."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def pieces(items: list[T], most: int) -> Iterator[list[T]]:
    """Some of the items after others, no more than `most` at a time: a condition must not be too long."""
    return (items[start : start + most] for start in range(0, len(items), most))


def listed(names: Iterable[str]) -> str:
    """Names as what stands in the brackets of `IN (…)`, whatever strangers put into them."""
    return ", ".join("'" + name.replace("'", "''") + "'" for name in names)
