"""Splits a JSON array into the raw bytes of its elements by brackets alone, so that a bad element spoils no other."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_TOKEN: Final = re.compile(rb'\\.|["\[\]{},]', re.DOTALL)
_QUOTE, _COMMA, _ESCAPE, _END = b'",\\]'
_OPENING: Final = frozenset(b"[{")
_SHOWN: Final = 1000
_BLANK: Final = b" \t\r\n"


class Element(NamedTuple):
    """An element of a JSON array."""

    data: bytes
    """The element, or the beginning of one that is too long."""
    size: int
    """Length in bytes of the whole element."""


class BadArrayError(ValueError):
    """The bytes are not a JSON array: they do not begin with one, continue after its end, or are truncated."""


class ArraySplitter:
    """Splits an array that is fed to it in chunks; buffers at most one element.

    Args:
        longest: Maximum bytes of an element; of a longer one, only the beginning is returned.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._depth = 0
        self._ended = False
        self._in_string = False
        self._escaped = False
        self._count = 0
        self._held = bytearray()
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[Element]:
        """Yield the elements that end in `chunk`; raises `BadArrayError` if the chunk is not part of an array."""
        at = begin = 0
        if self._escaped and chunk:  # the character after a backslash that ended the last chunk
            at, self._escaped = 1, False
        if not self._depth:
            at = begin = self._enter(chunk)
        for place, token in self._structure(chunk, at):
            if token in _OPENING:
                self._depth += 1
            elif token != _COMMA:
                self._depth -= 1
                if not self._depth:
                    if token != _END:
                        raise BadArrayError("brackets do not match")
                    yield from self._given(chunk[begin:place], last=True)
                    self._check_rest(chunk[place + 1 :])
                    return
            elif self._depth == 1:
                yield from self._given(chunk[begin:place], last=False)
                begin = place + 1
        if not self._depth:
            return
        self._hold(chunk[begin:])
        looked_at = chunk[at:]
        backslashes = len(looked_at) - len(looked_at.rstrip(b"\\"))
        self._escaped = (self._escaped and not chunk) or (self._in_string and backslashes % 2 == 1)

    def end(self) -> None:
        """Raise `BadArrayError` if the array is not complete."""
        if not self._ended:
            raise BadArrayError("the array is truncated" if self._depth else "there is no array")

    def _structure(self, chunk: bytes, at: int) -> Iterator[tuple[int, int]]:
        """Yield brackets and commas outside of strings, each with its position."""
        for found in _TOKEN.finditer(chunk, at):
            token = chunk[found.start()]
            if token == _QUOTE:
                self._in_string = not self._in_string
            elif token != _ESCAPE and not self._in_string:
                yield found.start(), token

    def _enter(self, chunk: bytes) -> int:
        """Return where the array's first element may begin; the chunk's length if there is none."""
        if self._ended:
            self._check_rest(chunk)
            return len(chunk)
        blank = len(chunk) - len(chunk.removeprefix(b"\xef\xbb\xbf").lstrip(_BLANK))
        if blank == len(chunk):
            return blank
        if chunk[blank] != ord("["):
            raise BadArrayError("expected an array")
        self._depth = 1
        return blank + 1

    def _check_rest(self, rest: bytes) -> None:
        self._ended = True
        if rest.strip(_BLANK):
            raise BadArrayError("unexpected data after the array")

    def _hold(self, data: bytes) -> None:
        self._size += len(data)
        room = max(0, self._longest - len(self._held))
        self._held += data[:room]

    def _given(self, data: bytes, *, last: bool) -> Iterator[Element]:
        self._hold(data)
        held, size = bytes(self._held).strip(_BLANK), self._size
        self._held.clear()
        self._size = 0
        if last and not held and not self._count:
            return  # an empty array
        self._count += 1
        too_long = size > self._longest
        yield Element(held[:_SHOWN] if too_long else held, size if too_long else len(held))


def elements(value: bytes) -> list[bytes]:
    """Split the array `value` into its elements; raises `BadArrayError` if it is not an array.

    >>> elements(b'[1, {"a": [2]}]')
    [b'1', b'{"a": [2]}']
    """
    splitter = ArraySplitter(len(value))
    found = [element.data for element in splitter.feed(value)]
    splitter.end()
    return found
