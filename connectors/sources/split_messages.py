"""Split messages that hold several posts: NiFi's record writers make JSON arrays, or JSON lines.

Units stay small: a large message becomes several units, and a snapshot between them holds how many of its posts are
done. Messages that hold one post, the usual case, pass unchanged.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from connectors.sources.parse import MAX_BYTES, parsed
from connectors.sources.source import Position, Reader, ReaderAround, Source, Unit
from core.json_array import elements
from core.json_text import json_of
from core.records import DeadLetter, Message

_VERSION: Final = 1
_MOST_BAD: Final = 16
"""Maximum number of dead letters from one message; more would make a large output from a small input."""
_LINES: Final = re.compile(rb"\}[ \t\r]*\n\s*\{")
"""Matches between two objects, never within one: it has commas between values and no line breaks in strings."""


def _is_invalid(message: Message) -> bool:
    return isinstance(parsed(message), DeadLetter)


def unpacked(message: Message, is_bad: Callable[[Message], bool] = _is_invalid) -> list[Message]:
    """Split a message into one per post; return the message itself if it holds one post or cannot be split.

    Each element of an array and each line becomes a message with its original bytes; an empty array becomes none. An
    invalid part does not affect others. Many invalid parts stay together in one message, which becomes one dead letter.

    Args:
        message: A message of a source.
        is_bad: Checks whether a part is invalid and will not become a post.
    """
    try:
        parts = _parts(message.value)
    except ValueError:  # parsing reports the error
        return [message]
    if len(parts) == 1 and parts[0] is message.value:
        return [message]
    split = [replace(message, value=part, origin=f"{message.origin}[{number}]") for number, part in enumerate(parts)]
    if len(split) <= _MOST_BAD:
        return split
    bad = {number for number, part in enumerate(split) if is_bad(part)}
    if len(bad) <= _MOST_BAD:
        return split
    rest = b"[" + b",".join(part for number, part in enumerate(parts) if number in bad) + b"]"
    invalid = replace(message, value=rest, origin=f"{message.origin}[{min(bad)}…{max(bad)}]")
    return [*(part for number, part in enumerate(split) if number not in bad), invalid]


def _parts(value: bytes) -> list[bytes]:
    """Return the values in a message, or its own value if it holds only one; raises `ValueError` if it is invalid."""
    if len(value) > MAX_BYTES:
        return [value]
    if value[:64].lstrip()[:1] == b"[":
        return elements(value)
    if not _LINES.search(value):
        return [value]
    lines = [line.strip() for line in value.splitlines() if line.strip()]
    if not all(line.startswith(b"{") for line in lines):
        for line in lines:  # lines of a value that spans several are invalid by themselves
            json_of(line)
    return lines


def read_to(position: Position | None) -> Position | None:
    """Return the inner source's position, from a position of `SplitMessages`."""
    return position["before"] if position is not None and "done" in position else position


class SplitMessages(Source):
    """Splits the messages of `inner` into posts; at most `batch` of them in a unit."""

    def __init__(self, inner: Source, batch: int) -> None:
        self._inner = inner
        self._batch = batch

    def parts(self) -> list[str]:
        """Return the partitions of the inner source."""
        return self._inner.parts()

    def open(self, part: str, resume: Position | None) -> Reader:
        """Read `part` from its start or from `resume`."""
        if resume is None or "done" not in resume:
            return _Reader(self._inner.open(part, resume), resume, {}, self._batch)
        return _Reader(self._inner.open(part, resume["before"]), resume["before"], resume["done"], self._batch)


@dataclass(frozen=True, slots=True)
class _Large:
    """A unit that is emitted as several."""

    left: deque[tuple[str, Message]]
    """Messages still to emit, each with the origin of the message that it was part of."""
    before: Position | None
    """Position of the inner reader from which it reads the unit again."""
    unit: Unit


class _Reader(ReaderAround):
    def __init__(self, inner: Reader, before: Position | None, done: dict[str, int], batch: int) -> None:
        super().__init__(inner)
        self._before = before
        self._done = dict(done)
        """Number of posts already emitted from messages that would be read again after a crash, by origin."""
        self._batch = batch
        self._large: _Large | None = None

    def read(self) -> Unit | None:
        if self._large is None:
            unit = self._inner.read()
            if unit is None:
                return None
            self._large = _Large(deque(self._left(unit.messages)), self._before, unit)
            self._before = unit.resume
        return self._next(self._large)

    @property
    def ended(self) -> bool:
        return self._large is None and self._inner.ended

    @property
    def turn(self) -> int | None:
        return self._inner.turn if self._large is None else self._large.unit.turn

    def epoch_ended(self, position: Position) -> None:
        before = read_to(position)
        if before is not None:
            self._inner.epoch_ended(before)

    def _left(self, messages: list[Message]) -> Iterator[tuple[str, Message]]:
        for message in messages:
            for part in unpacked(message)[self._done.get(message.origin, 0) :]:
                yield message.origin, part

    def _next(self, large: _Large) -> Unit:
        given = [large.left.popleft() for _ in range(min(self._batch, len(large.left)))]
        if large.left:
            for origin, _ in given:
                self._done[origin] = self._done.get(origin, 0) + 1
            resume = _position(large.before, self._done)
        else:
            self._large = None
            for message in large.unit.messages:  # keep other messages: after a crash, units may be cut differently
                self._done.pop(message.origin, None)
            resume = _position(large.unit.resume, self._done) if self._done else large.unit.resume
        return Unit([message for _, message in given], resume, large.unit.turn, large.unit.live)


def _position(before: Position | None, done: dict[str, int]) -> Position:
    return {"version": _VERSION, "before": before, "done": dict(done)}
