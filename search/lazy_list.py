"""Lists whose elements are made when they are looked at."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar, overload

from search.vector_index import RowNumbers

T = TypeVar("T")


class LazyList(Sequence[T], Generic[T]):
    """Things by number that are made when they are looked at."""

    def __init__(self, numbers: RowNumbers) -> None:
        self.numbers = numbers

    def __len__(self) -> int:
        """How many there are."""
        return len(self.numbers)

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> "LazyList[T]": ...
    def __getitem__(self, place: int | slice) -> "T | LazyList[T]":
        """One of them, or some."""
        if isinstance(place, slice):
            return self._some(self.numbers[place])
        return self._made(int(self.numbers[place]))

    @abstractmethod
    def _made(self, number: int) -> T:
        """The one of this number."""

    @abstractmethod
    def _some(self, numbers: RowNumbers) -> "LazyList[T]":
        """Those of these numbers."""
