"""A message sink that refuses messages of posts that were already deleted.

A delete bypasses the models, and may come from another process than its post. So it can reach a sink while the post
still waits in a batch, in the join or for a retry. After a delete has passed here, its post cannot.
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
"""Key of the deletes in a mark, beside those of the wrapped sink."""
_SHARE: Final = 0.02
"""Maximum share of the time spent on erasing what was written."""


class OfPost(NamedTuple):
    """A message that is written unless its post was deleted."""

    message: OutMessage
    names: PostNames


Refusable = OfPost | Removal | OutMessage
"""A message of a post, a delete, or a message that is always written."""

Forget = Callable[[Removed], object]
"""Erases what was written of deleted posts."""


class RefusingSink(Sink[Refusable]):
    """A message sink each of whose partitions remembers deletes.

    The caller must send each delete to every partition (`part_keys`).

    Args:
        sink: The wrapped sink.
        memory_days: Days that a delete is remembered.
        forget: Erases what was written before the delete; None to keep it.
    """

    def __init__(self, sink: MessageSink, memory_days: float = math.inf, forget: Forget | None = None) -> None:
        self._sink = sink
        self._memory_days = memory_days
        self._forget = forget

    def check(self) -> None:
        """Raise `WorldError` if the sink cannot be written to."""
        self._sink.check()

    def parts(self) -> list[str]:
        """Return the partitions of the wrapped sink."""
        return self._sink.parts()

    def was_called(self, name: str, part: str, mark: Mark) -> bool:
        """Delegate to the wrapped sink."""
        return self._sink.was_called(name, part, mark)

    def hash_of_key(self, key: str) -> int:
        """Return the wrapped sink's partition number of a key."""
        return self._sink.hash_of_key(key)

    def open(self, part: str, mark: Mark) -> "RefusingWriter":
        """Open `part` at `mark`, or at its start, with the deletes known by then; raises `WorldError`."""
        removed = Removed(mark.get(_REMOVED) if mark else None, days=self._memory_days)
        return RefusingWriter(self._sink.open(part, mark), removed, self._forget)


class RefusingWriter(Writer[Refusable]):
    """Writer of one partition, which has one order: a delete comes before the messages that it refuses."""

    def __init__(self, writer: Writer[OutMessage], removed: Removed, forget: Forget | None) -> None:
        self._writer = writer
        self._removed = removed
        self._forget = forget
        self._is_to_forget = len(removed) > 0  # a killed run may not have finished
        self._next = 0.0

    def write(self, items: list[Refusable]) -> None:
        """Write the messages whose posts are not deleted; raises `WorldError`."""
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
        """Return the mark of the wrapped writer, with the deletes; raises `WorldError`."""
        if time.monotonic() >= self._next:  # rate-limited: the deletes are in the mark, so it can wait
            self._forget_written()
        mark = self._writer.snapshot()
        return {**(mark or {}), _REMOVED: self._removed.state()} if self._removed else mark

    def close(self) -> None:
        """Close the wrapped writer."""
        self._writer.close()
        with suppress(WorldError):  # it is repeated when the partition is opened again
            self._forget_written()

    def _forget_written(self) -> None:
        """Erase what was written of deleted posts, if there were new deletes."""
        if self._forget is None or not self._is_to_forget:
            return
        start = time.monotonic()
        self._forget(self._removed)
        self._is_to_forget = False
        self._next = start + (time.monotonic() - start) / _SHARE
