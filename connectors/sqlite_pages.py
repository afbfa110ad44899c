"""Finds bytes that SQLite has split over two pages of a file, also in free pages, which no query shows.

A value that is too large for its page goes on in overflow pages: each begins with the number of the next one. The first
part, in a page with several values, ends with the number of the first overflow page.
"""

import mmap
from collections.abc import Iterator
from typing import Final

_MAGIC: Final = b"SQLite format 3\0"
_SIZE_AT: Final = slice(16, 18)
_RESERVED_AT: Final = 20
_LARGEST: Final = 65_536
"""Page size that the file's header writes as 1."""
_NUMBER: Final = 4
"""Bytes of a page's number."""


def is_split_in(data: mmap.mmap, wanted: bytes) -> bool:
    """Check whether a file is an SQLite database with `wanted` split over two of its pages."""
    if data[: len(_MAGIC)] != _MAGIC:
        return False
    pages, half = _Pages(data), len(wanted) // 2
    return any(pages.continues(it, wanted) for it in _places(data, wanted[:half])) or any(
        pages.began(it, wanted, half) for it in _places(data, wanted[half:])
    )


class _Pages:
    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        size = int.from_bytes(data[_SIZE_AT])
        self._size = _LARGEST if size == 1 else size
        self._used = self._size - data[_RESERVED_AT]

    def continues(self, place: int, wanted: bytes) -> bool:
        """Check whether `wanted`, whose first half is at `place`, continues in an overflow page."""
        start = place - place % self._size
        end = min(place + len(wanted), start + self._used)
        here = next((it for it in range(place, end) if self._data[it] != wanted[it - place]), end)
        rest = wanted[here - place :]
        numbers = [self._data[here : here + _NUMBER]]
        if here == start + self._used:
            numbers.append(self._data[start : start + _NUMBER])
        return bool(rest) and any(self._content(int.from_bytes(it), len(rest)) == rest for it in numbers)

    def began(self, place: int, wanted: bytes, half: int) -> bool:
        """Check whether `wanted`, whose second half is at `place` in an overflow page, began in another page."""
        start = place - place % self._size
        there = place - start - _NUMBER
        begun = half - there
        if there < 0 or begun <= 0 or self._data[place - there : place] != wanted[begun:half]:
            return False
        first, number = wanted[:begun], (start // self._size + 1).to_bytes(_NUMBER)
        if self._data.find(first + number) >= 0:
            return True
        ends = range(self._used, len(self._data) + 1, self._size)
        return any(
            self._data[it - self._used : it - self._used + _NUMBER] == number and self._data[it - begun : it] == first
            for it in ends
        )

    def _content(self, number: int, length: int) -> bytes:
        start = (number - 1) * self._size + _NUMBER
        return self._data[start : start + length] if 0 < number <= len(self._data) // self._size else b""


def _places(data: mmap.mmap, part: bytes) -> Iterator[int]:
    place = data.find(part)
    while place >= 0:
        yield place
        place = data.find(part, place + 1)
