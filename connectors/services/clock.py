"""The clock of a poller: what it waits for ends at once when it is to stop."""

import threading
import time
from typing import Protocol


class StoppedError(Exception):
    """The poller is to stop; nothing is wrong."""


class Clock(Protocol):
    """Time and waiting."""

    def now(self) -> float:
        """Seconds since 1970."""

    def sleep(self, seconds: float) -> None:
        """Wait; raises `StoppedError` where that is to end."""


class WallClock:
    """The clock on the wall, until `stop` is set."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def now(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait; raises `StoppedError` as soon as the event is set."""
        if self._stop.wait(max(0.0, seconds)):
            raise StoppedError
