"""Code that relies on scheduling that Bytewax does not guarantee; `tests/operators/test_scheduling.py` verifies it.

1. A worker polls its source partitions in rounds: each of them once before any of them again.
2. All steps of the worker process what the partitions emitted in a round before the next round begins.
3. A worker stays on one thread, which no other worker uses: partitions are built and polled there.

`OnePerRound` relies on the first two, `PerWorker` on the third.
"""

import threading
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class Giver(Protocol):
    """A source partition, as seen by the order in which partitions emit."""

    given: int
    """Number of its last emission among those of the worker; 0 before the first."""

    @property
    def turn(self) -> int | None:
        """Return its position in the order of the source; None if there is no order, or nothing to emit."""

    def is_ready(self) -> bool:
        """Check whether it could emit now."""


class OnePerRound:
    """Lets one partition of a worker emit in each of Bytewax's rounds.

    So one batch at a time enters the flow, and after each an epoch can end and a snapshot be taken.
    """

    def __init__(self) -> None:
        self.parts: list[Giver] = []
        self._asked: set[Giver] = set()
        self._has_given = False
        self._given = 0

    def request_turn(self, part: Giver) -> bool:
        """Return whether `part` may emit its next batch in this round; its second request begins a new round."""
        if part in self._asked:
            self._asked.clear()
            self._has_given = False
        self._asked.add(part)
        return not self._has_given and self._is_next(part)

    def give(self) -> int:
        """Record that a partition emits now; returns the number of the emission, from 1."""
        self._has_given = True
        self._given += 1
        return self._given

    def _is_next(self, part: Giver) -> bool:
        """Check whether it is next in the order of the source or, without one, is the ready one that waited longest."""
        turn = part.turn
        if turn is not None:
            return all(other.turn is None or other.turn >= turn for other in self.parts)
        return all(other.given >= part.given or not other.is_ready() for other in self.parts)


class OpenParts:
    """Counts the open source partitions of a process; a source that only serves others ends with them."""

    def __init__(self, grace_seconds: float = 1.0) -> None:
        """Start without any; if none opens, all are over `grace_seconds` after the first call of `are_over`."""
        self._grace_seconds = grace_seconds
        self._begun = 0
        self._ended = 0
        self._asked: float | None = None
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Record that a partition was opened."""
        with self._lock:
            self._begun += 1

    def end(self) -> None:
        """Record that a partition has ended."""
        with self._lock:
            self._ended += 1

    def are_over(self) -> bool:
        """Check whether all partitions have ended; a process may have none, or open its own a moment later."""
        if self._begun:
            return self._ended >= self._begun
        self._asked = self._asked or time.monotonic()
        return time.monotonic() - self._asked >= self._grace_seconds


class PerWorker(Generic[T]):
    """One value for each worker of a process, made at first use."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._values: dict[int, T] = {}

    def get(self) -> T:
        """Return the value of the calling worker."""
        worker = threading.get_ident()
        if worker not in self._values:
            self._values[worker] = self._make()
        return self._values[worker]
