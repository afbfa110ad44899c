"""A sequence whose elements are made on access."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar, overload

from search.vector_index import RowNumbers

T = TypeVar("T")


class LazyList(Sequence[T], Generic[T]):
    """A sequence of row numbers that makes an element when it is accessed; a slice is lazy too."""

    def __init__(self, numbers: RowNumbers) -> None:
        self.numbers = numbers

    def __len__(self) -> int:
        """Count the elements."""
        return len(self.numbers)

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> "LazyList[T]": ...
    def __getitem__(self, place: int | slice) -> "T | LazyList[T]":
        """Make the element at a place, or return a lazy list of a slice."""
        if isinstance(place, slice):
            return self._some(self.numbers[place])
        return self._made(int(self.numbers[place]))

    @abstractmethod
    def _made(self, number: int) -> T:
        """Make the element of a number."""

    @abstractmethod
    def _some(self, numbers: RowNumbers) -> "LazyList[T]":
        """Return a lazy list of the elements of these numbers."""
