"""Deadlines for all steps of a request together, and timeouts for calls that have none.

A connection's timeout restarts with every read and every redirect, so a server that sends a byte now and then could
hold a request forever.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Deadlines:
    """The current deadline of each thread."""

    def __init__(self) -> None:
        self._thread = threading.local()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Set this thread's deadline, in seconds from now, for the block."""
        self._thread.deadline = time.monotonic() + seconds
        try:
            yield
        finally:
            del self._thread.deadline

    def left(self, timeout: float | None) -> float | None:
        """Return `timeout` shortened to the time left until the deadline; 0 once it has passed."""
        deadline: float | None = getattr(self._thread, "deadline", None)
        if deadline is None:
            return timeout
        left = max(0.0, deadline - time.monotonic())
        return left if timeout is None else min(left, timeout)

    def is_over(self) -> bool:
        """Check whether this thread's deadline has passed."""
        return self.left(None) == 0


def call_with_timeout(seconds: float | None, call: Callable[[], T]) -> T:
    """Return the result of `call`; raises `TimeoutError` after `seconds`, and leaves its thread running."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="call", daemon=True).start()
    return future.result(seconds)
