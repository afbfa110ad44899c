"""What relies on how Bytewax schedules, beyond what it promises; `tests/operators/test_scheduling.py` proves each.

1. The parts of a source that a worker has are asked in rounds: each of them once before any of them is asked again.
2. What the parts gave in a round is handled by all steps of the worker before the next round begins.
3. A worker stays on one thread, which no other worker uses: parts are built and asked there.

`OnePerRound` stands on the first two, `PerWorker` on the third.
"""

import threading
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class Giver(Protocol):
    """A part of a source, as the order in which parts give sees it."""

    given: int
    """Number of its last giving among those of the worker; 0 before the first."""

    @property
    def turn(self) -> int | None:
        """Its place in the order of the source; None where it has none or has nothing to give."""

    def is_ready(self) -> bool:
        """Whether it could give now."""


class OnePerRound:
    """Lets one part of a worker give in each round of Bytewax's.

    So one unit at a time goes into the flow, and an epoch can end, and a snapshot be taken, after each.
    """

    def __init__(self) -> None:
        self.parts: list[Giver] = []
        self._asked: set[Giver] = set()
        self._has_given = False
        self._given = 0

    def ask(self, part: Giver) -> bool:
        """Whether `part` may give its next unit in this round; a part that is asked again begins a new one."""
        if part in self._asked:
            self._asked.clear()
            self._has_given = False
        self._asked.add(part)
        return not self._has_given and self._is_next(part)

    def give(self) -> int:
        """Take note that a part gives now; return the number of the giving, from 1."""
        self._has_given = True
        self._given += 1
        return self._given

    def _is_next(self, part: Giver) -> bool:
        """In the order of the source; where it has none, whoever is ready and waited longest."""
        turn = part.turn
        if turn is not None:
            return all(other.turn is None or other.turn >= turn for other in self.parts)
        return all(other.given >= part.given or not other.is_ready() for other in self.parts)


class OpenParts:
    """Counts the parts of a flow's sources that are open in this process: who only serves them ends with them."""

    def __init__(self, grace_seconds: float = 1.0) -> None:
        """Without any, all are over when `grace_seconds` have passed since it was first asked."""
        self._grace_seconds = grace_seconds
        self._begun = 0
        self._ended = 0
        self._asked: float | None = None
        self._lock = threading.Lock()

    def begin(self) -> None:
        """A part was opened."""
        with self._lock:
            self._begun += 1

    def end(self) -> None:
        """A part has come to its end."""
        with self._lock:
            self._ended += 1

    def are_over(self) -> bool:
        """Whether all that were opened have ended; a process may have none, or open its own a moment later."""
        if self._begun:
            return self._ended >= self._begun
        self._asked = self._asked or time.monotonic()
        return time.monotonic() - self._asked >= self._grace_seconds


class PerWorker(Generic[T]):
    """One value for each worker of a process, made when it is first asked for."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._values: dict[int, T] = {}

    def mine(self) -> T:
        """The value of the worker that asks."""
        worker = threading.get_ident()
        if worker not in self._values:
            self._values[worker] = self._make()
        return self._values[worker]
