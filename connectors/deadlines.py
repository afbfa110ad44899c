"""Time that ends: for the steps of a request, and for calls that know no timeout.

A connection's timeout counts anew for every read and every redirect, so a server that sends a byte now and then would
hold a request for as long as it likes.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Deadlines:
    """Deadlines of what goes on, one for each thread."""

    def __init__(self) -> None:
        self._thread = threading.local()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """What happens in the block has so many seconds in all."""
        self._thread.deadline = time.monotonic() + seconds
        try:
            yield
        finally:
            del self._thread.deadline

    def left(self, timeout: float | None) -> float | None:
        """Seconds that the next step may take, of the `timeout` that it would be given; 0 when time is over."""
        deadline: float | None = getattr(self._thread, "deadline", None)
        if deadline is None:
            return timeout
        left = max(0.0, deadline - time.monotonic())
        return left if timeout is None else min(left, timeout)

    def is_over(self) -> bool:
        """Whether the time of this thread's block is over."""
        return self.left(None) == 0


def call_within(seconds: float | None, call: Callable[[], T]) -> T:
    """What `call` returns; raises `TimeoutError` where it does not within `seconds`, and leaves it to itself."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="call", daemon=True).start()
    return future.result(seconds)
