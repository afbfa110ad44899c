"""A sink of messages that refuses those of posts that were taken back before they came.

A delete goes round the models, and may come from another process than its post. So it can be at a sink while the post
still waits in a batch, in the join or for another try. What has passed here cannot come after it.
"""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from connectors.sinks.sink import Mark, MessageSink, OutMessage, Sink, Writer
from core.errors import WorldError
from core.records import Removal
from core.removals import PostNames, Removed

_REMOVED: Final = "removed"
"""Beside what the sink itself keeps in a mark."""
_SHARE: Final = 0.02
"""Of the time that is spent on looking through what was written, at most."""


class OfPost(NamedTuple):
    """A message that goes where its post was not taken back."""

    message: OutMessage
    names: PostNames


Refusable = OfPost | Removal | OutMessage
"""A message of a post, what takes posts back, or a message that is written whatever came."""

Forget = Callable[[Removed], object]
"""Lets go of what was written of posts that were taken back."""


class RefusingSink(Sink[Refusable]):
    """A sink of messages each of whose parts remembers what was taken back.

    Whoever writes gives every part (`part_keys`) each removal.

    Args:
        sink: Where messages go.
        memory_days: So long a delete is remembered.
        forget: Lets go of what was written before; None: what was written stays.
    """

    def __init__(self, sink: MessageSink, memory_days: float = math.inf, forget: Forget | None = None) -> None:
        self._sink = sink
        self._memory_days = memory_days
        self._forget = forget

    def check(self) -> None:
        """Raise `WorldError` where nothing can be written there."""
        self._sink.check()

    def parts(self) -> list[str]:
        """Those of the sink."""
        return self._sink.parts()

    def was(self, name: str, part: str, mark: Mark) -> bool:
        """Whether the sink says so."""
        return self._sink.was(name, part, mark)

    def part_of(self, key: str) -> int:
        """The part that the sink has for a key."""
        return self._sink.part_of(key)

    def open(self, part: str, mark: Mark) -> "RefusingWriter":
        """Write `part` anew, or from where `mark` says, with what was taken back by then; raises `WorldError`."""
        removed = Removed(mark.get(_REMOVED) if mark else None, days=self._memory_days)
        return RefusingWriter(self._sink.open(part, mark), removed, self._forget)


class RefusingWriter(Writer[Refusable]):
    """One part: it has one order, in which a delete comes before what it refuses."""

    def __init__(self, writer: Writer[OutMessage], removed: Removed, forget: Forget | None) -> None:
        self._writer = writer
        self._removed = removed
        self._forget = forget
        self._is_to_forget = len(removed) > 0  # a run that was killed may not have done it
        self._next = 0.0

    def write(self, items: list[Refusable]) -> None:
        """Write the messages whose posts are not taken back; raises `WorldError`."""
        messages = []
        for it in items:
            if isinstance(it, Removal):
                self._removed.note(it)
                self._is_to_forget = True
            elif isinstance(it, OutMessage):
                messages.append(it)
            elif not self._removed.has_post(it.names):
                messages.append(it.message)
        if messages:
            self._writer.write(messages)

    def snapshot(self) -> Mark:
        """What the sink keeps, and what was taken back; raises `WorldError`."""
        if time.monotonic() >= self._next:  # nothing is lost by waiting
            self._forget_written()
        mark = self._writer.snapshot()
        return {**(mark or {}), _REMOVED: self._removed.state()} if self._removed else mark

    def close(self) -> None:
        """Give back what it holds."""
        self._writer.close()
        with suppress(WorldError):  # it is done when the part is opened again
            self._forget_written()

    def _forget_written(self) -> None:
        """Let go of what was written before."""
        if self._forget is None or not self._is_to_forget:
            return
        start = time.monotonic()
        self._forget(self._removed)
        self._is_to_forget = False
        self._next = start + (time.monotonic() - start) / _SHARE
