"""A live stream as a source: one part, read by a thread of its own."""

import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from connectors.services.clock import Clock, WallClock
from connectors.services.polling_source import PollReader
from connectors.sources.source import Place, PlacedSource, Position, Reader, Unit

Read = Callable[[Clock, Position | None], Iterator[Unit]]
"""Reads a stream from where it was left; waits by the clock, which ends it."""
_LONGEST_BACKOFF: Final = 60.0
"""Seconds."""


def seconds_to_reconnect(failed: int, first: float) -> float:
    """Seconds to wait before a stream is connected to again, twice as many after each failure, and some by chance.

    Args:
        failed: Connections that failed in a row, from 1.
        first: Seconds after the first of them.
    """
    seconds = min(first * float(2 ** min(failed - 1, 10)), _LONGEST_BACKOFF)
    return seconds * (1 + random.random() / 2)  # noqa: S311 - so that not all come back at once


class LiveStream(PlacedSource):
    """A stream, whatever server it is read from.

    Args:
        name: Of what is read; positions are kept under it.
        read: Reads it.
    """

    def __init__(self, name: str, read: Read) -> None:
        self._place = StreamPlace(name, read)

    def parts(self) -> list[str]:
        """The stream."""
        return [f"{self._place.name}#0"]

    def places(self) -> "list[StreamPlace]":
        """The stream; nothing is asked yet."""
        return [self._place]

    def open(self, part: str, resume: Position | None) -> Reader:  # noqa: ARG002 - there is one
        """Read it in a thread, from where it was left."""
        return self._place.open(0, resume, ())


class StreamPlace(Place):
    """A stream, known by what is read of it."""

    def __init__(self, name: str, read: Read) -> None:
        self.name = name
        self._read = read

    def knows(self, positions: Sequence[Position]) -> bool | None:  # noqa: ARG002
        """Always so: there is no other."""
        return True

    def was(self, name: str, positions: Sequence[Position]) -> bool:  # noqa: ARG002
        """Never so."""
        return False

    def numbers(self, positions: Sequence[Position]) -> Iterable[int]:  # noqa: ARG002
        """One part."""
        return range(1)

    def open(self, number: int, resume: Position | None, positions: Sequence[Position]) -> Reader:  # noqa: ARG002
        """Read it in a thread, from where it was left."""
        stop = threading.Event()
        return PollReader(self._read(WallClock(stop), resume), stop, lambda: None)
