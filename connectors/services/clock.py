"""The clock of a poller: its sleep is interruptible, so that the poller stops at once."""

import threading
import time
from typing import Protocol


class StoppedError(Exception):
    """The poller should stop; not a failure."""


class Clock(Protocol):
    """A clock that can sleep."""

    def now(self) -> float:
        """Return the time in seconds since 1970."""

    def sleep(self, seconds: float) -> None:
        """Sleep; raises `StoppedError` if the poller should stop."""


class WallClock:
    """The system's clock; its sleep ends when `stop` is set."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Sleep; raises `StoppedError` as soon as the event is set."""
        if self._stop.wait(max(0.0, seconds)):
            raise StoppedError
