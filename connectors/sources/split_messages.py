"""Messages that hold several posts, taken apart: NiFi's record writers make arrays, or a line for each record.

A unit stays as small as before: a large message goes through the flow in several, and a snapshot between them says how
many posts of it are done. Messages that hold one post, the usual case, pass as they are.
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
"""Of one message; more would make a large output of a small input."""
_LINES: Final = re.compile(rb"\}[ \t\r]*\n\s*\{")
"""Between two objects. Within one it cannot occur: values have a comma between them, and strings no line ends."""


def _is_no_post(message: Message) -> bool:
    return isinstance(parsed(message), DeadLetter)


def unpacked(message: Message, is_bad: Callable[[Message], bool] = _is_no_post) -> list[Message]:
    """A message for each post; where it holds one, or cannot be taken apart, the message itself.

    An array becomes a message for each element, none where it is empty, and so do lines; their bytes are those that
    were read. One that is no post spoils no other. Where many are none, they stay together in one message, so that they
    become one dead letter.

    Args:
        message: Of a source.
        is_bad: Whether a part of it is no post, nor becomes one.
    """
    try:
        parts = _parts(message.value)
    except ValueError:  # whoever parses it says what is wrong
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
    together = replace(message, value=rest, origin=f"{message.origin}[{min(bad)}…{max(bad)}]")
    return [*(part for number, part in enumerate(split) if number not in bad), together]


def _parts(value: bytes) -> list[bytes]:
    """The values in a message, the message's own where it holds one; raises `ValueError` where it is broken."""
    if len(value) > MAX_BYTES:
        return [value]
    if value[:64].lstrip()[:1] == b"[":
        return elements(value)
    if not _LINES.search(value):
        return [value]
    lines = [line.strip() for line in value.splitlines() if line.strip()]
    if not all(line.startswith(b"{") for line in lines):
        for line in lines:  # values over several lines are none for themselves
            json_of(line)
    return lines


def read_to(position: Position | None) -> Position | None:
    """The position of the source below, of one that `SplitMessages` gave."""
    return position["before"] if position is not None and "done" in position else position


class SplitMessages(Source):
    """`inner`, its messages taken apart; at most `batch` of them in a unit."""

    def __init__(self, inner: Source, batch: int) -> None:
        self._inner = inner
        self._batch = batch

    def parts(self) -> list[str]:
        """Those of the inner source."""
        return self._inner.parts()

    def open(self, part: str, resume: Position | None) -> Reader:
        """Read `part` from its start, or from where `resume` says."""
        if resume is None or "done" not in resume:
            return _Reader(self._inner.open(part, resume), resume, {}, self._batch)
        return _Reader(self._inner.open(part, resume["before"]), resume["before"], resume["done"], self._batch)


@dataclass(frozen=True, slots=True)
class _Large:
    """A unit that goes through the flow in several."""

    left: deque[tuple[str, Message]]
    """What is still to be given, each with the origin of the message that it was in."""
    before: Position | None
    """Where the inner reader goes on to read the unit again."""
    unit: Unit


class _Reader(ReaderAround):
    def __init__(self, inner: Reader, before: Position | None, done: dict[str, int], batch: int) -> None:
        super().__init__(inner)
        self._before = before
        self._done = dict(done)
        """How many posts have been given of messages that would be read again after a crash, by origin."""
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

    def passed(self, position: Position) -> None:
        before = read_to(position)
        if before is not None:
            self._inner.passed(before)

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
            for message in large.unit.messages:  # after a crash, units may be cut otherwise: others stay
                self._done.pop(message.origin, None)
            resume = _position(large.unit.resume, self._done) if self._done else large.unit.resume
        return Unit([message for _, message in given], resume, large.unit.turn, large.unit.live)


def _position(before: Position | None, done: dict[str, int]) -> Position:
    return {"version": _VERSION, "before": before, "done": dict(done)}
