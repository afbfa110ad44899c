"""Room for so much at a time, shared by many threads."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Lock


class WeightedSemaphore:
    """Holds up who would take more than is left; in the order in which they came, so that nobody waits for ever."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._used = 0
        self._turn = Lock()
        self._changed = Condition()

    @contextmanager
    def acquire(self, amount: int) -> Iterator[None]:
        """Take `amount` for the block, as soon as there is so much; all of it where `amount` is more than there is."""
        taken = min(amount, self._size)
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self._used + taken <= self._size)
            self._used += taken
        try:
            yield
        finally:
            with self._changed:
                self._used -= taken
                self._changed.notify_all()
