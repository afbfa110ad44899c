"""A live stream as a source: one partition, read by its own thread."""

import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from connectors.services.clock import Clock, WallClock
from connectors.services.polling_source import PollReader
from connectors.sources.source import Place, PlacedSource, Position, Reader, Unit

Read = Callable[[Clock, Position | None], Iterator[Unit]]
"""Reads a stream from a position; sleeps with the clock, which also stops it."""
_LONGEST_BACKOFF: Final = 60.0
"""Seconds."""


def seconds_to_reconnect(failed: int, first: float) -> float:
    """Return the seconds to wait before reconnecting: exponential back-off with jitter, so that clients spread out.

    Args:
        failed: Number of consecutive failures, at least 1.
        first: Seconds after the first failure.
    """
    seconds = min(first * float(2 ** min(failed - 1, 10)), _LONGEST_BACKOFF)
    return seconds * (1 + random.random() / 2)  # noqa: S311 - jitter needs no cryptography


class LiveStream(PlacedSource):
    """A live stream; its position is independent of the server it is read from.

    Args:
        name: Name of the stream, under which positions are stored.
        read: Reads the stream.
    """

    def __init__(self, name: str, read: Read) -> None:
        self._place = StreamPlace(name, read)

    def parts(self) -> list[str]:
        """Return the name of the only partition."""
        return [f"{self._place.name}#0"]

    def places(self) -> "list[StreamPlace]":
        """Return the only place; sends no request."""
        return [self._place]

    def open(self, part: str, resume: Position | None) -> Reader:  # noqa: ARG002 - there is one
        """Read the stream in a thread, from `resume`."""
        return self._place.open(0, resume, ())


class StreamPlace(Place):
    """The place of a live stream, identified by its name."""

    def __init__(self, name: str, read: Read) -> None:
        self.name = name
        self._read = read

    def owns_positions(self, positions: Sequence[Position]) -> bool | None:  # noqa: ARG002
        """Return True: there is only one place of this kind."""
        return True

    def was_called(self, name: str, positions: Sequence[Position]) -> bool:  # noqa: ARG002
        """Return False: the place never had another name."""
        return False

    def part_numbers(self, positions: Sequence[Position]) -> Iterable[int]:  # noqa: ARG002
        """Return the number of the only partition."""
        return range(1)

    def open(self, number: int, resume: Position | None, positions: Sequence[Position]) -> Reader:  # noqa: ARG002
        """Read the stream in a thread, from `resume`."""
        stop = threading.Event()
        return PollReader(self._read(WallClock(stop), resume), stop, lambda: None)
