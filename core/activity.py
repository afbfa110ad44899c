"""Activity marks of this process's source partitions, which other threads watch; times are of the monotonic clock."""

import threading
import time
from typing import Final


class Activity:
    """Marks set by workers and read by watchers. Each update is a single atomic step, so none needs a lock."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        """Set once the flow runs: all of its processes are connected."""
        self.epoch_at: float | None = None
        """When the last epoch ended."""
        self._busy: dict[object, float] = {}
        self._due: dict[object, float] = {}
        self._epochs: dict[object, int] = {}
        self._ended = 0
        self._open: dict[object, None] = {}
        self._away: dict[object, str] = {}

    def opened(self, part: object) -> None:
        """Note that a source partition was opened."""
        self._open[part] = None

    def polled(self, part: object) -> None:
        """Note that a partition is polled: everything it emitted before has been processed."""
        self._busy.pop(part, None)

    def emitted(self, part: object) -> None:
        """Note that a partition has emitted items into the flow."""
        self._busy[part] = time.monotonic()

    def due(self, part: object, at: float) -> None:
        """Note when a partition wants to be polled again."""
        self._due[part] = at

    def snapshot(self, part: object) -> None:
        """Note that the cursor of a partition was snapshotted, which happens at the end of each epoch."""
        self._epochs[part] = self._epochs.get(part, 0) + 1
        self.epoch_at = time.monotonic()

    def closed(self, part: object) -> None:
        """Note that a partition has reached its end."""
        self._open.pop(part, None)
        self._busy.pop(part, None)
        self._due.pop(part, None)
        self._ended = max(self._ended, self._epochs.pop(part, 0))

    def unavailable(self, who: object, why: str) -> None:
        """Note that something `who` depends on does not answer, and `why`."""
        self._away[who] = why

    def available(self, who: object) -> None:
        """Note that it answers again."""
        self._away.pop(who, None)

    def unavailable_reasons(self) -> str:
        """Describe what does not answer; empty if everything does."""
        return "; ".join(dict.fromkeys(list(self._away.values())))

    @property
    def has_open_parts(self) -> bool:
        """Check whether this process still reads anything."""
        return bool(self._open)

    @property
    def epochs(self) -> int:
        """Return the number of epochs that have ended."""
        return max((self._ended, *list(self._epochs.values())))

    @property
    def unpolled_since(self) -> float | None:
        """Return the earliest time from which an open partition waits to be polled (may be in the future), or None.

        Bytewax polls no partition until the last epoch has ended in all processes.
        """
        return min(list(self._due.values()), default=None)

    @property
    def busy_since(self) -> float | None:
        """Return when the oldest items still in the flow were emitted; None if the flow is empty."""
        return min(list(self._busy.values()), default=None)


ACTIVITY: Final = Activity()
