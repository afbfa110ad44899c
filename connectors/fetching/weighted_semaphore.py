"""A weighted semaphore, which limits a resource that many threads share."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Lock


class WeightedSemaphore:
    """A fair weighted semaphore: blocks until `amount` is free, first in, first out, so that no thread starves."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._used = 0
        self._turn = Lock()
        self._changed = Condition()

    @contextmanager
    def acquire(self, amount: int) -> Iterator[None]:
        """Hold `amount` during the block; waits until it is free. An amount above the total is reduced to the total."""
        held = min(amount, self._size)
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self._used + held <= self._size)
            self._used += held
        try:
            yield
        finally:
            with self._changed:
                self._used -= held
                self._changed.notify_all()
