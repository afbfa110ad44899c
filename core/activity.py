"""What the parts of the sources of this process did last: marks that other threads look at, on the monotonic clock."""

import threading
import time
from typing import Final


class Activity:
    """Marks set by workers and read by those who watch them; setting one is a single step, so none needs a lock."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        """The flow runs: all of its processes have found one another."""
        self.epoch_at: float | None = None
        """End of the last epoch."""
        self._busy: dict[object, float] = {}
        self._due: dict[object, float] = {}
        self._epochs: dict[object, int] = {}
        self._ended = 0
        self._open: dict[object, None] = {}
        self._away: dict[object, str] = {}

    def opened(self, part: object) -> None:
        """A part of a source was opened."""
        self._open[part] = None

    def asked(self, part: object) -> None:
        """A part of a source was asked: all that it gave before has been handled."""
        self._busy.pop(part, None)

    def gave(self, part: object) -> None:
        """A part has given something into the flow."""
        self._busy[part] = time.monotonic()

    def due(self, part: object, at: float) -> None:
        """A part wants to be asked again, at a time of the monotonic clock."""
        self._due[part] = at

    def snapshot(self, part: object) -> None:
        """The position of a part was taken, as it is at the end of each epoch."""
        self._epochs[part] = self._epochs.get(part, 0) + 1
        self.epoch_at = time.monotonic()

    def closed(self, part: object) -> None:
        """A part has come to its end."""
        self._open.pop(part, None)
        self._busy.pop(part, None)
        self._due.pop(part, None)
        self._ended = max(self._ended, self._epochs.pop(part, 0))

    def gone(self, who: object, why: str) -> None:
        """What `who` needs does not answer."""
        self._away[who] = why

    def back(self, who: object) -> None:
        """What `who` needs answers again."""
        self._away.pop(who, None)

    def away(self) -> str:
        """What does not answer; empty where all does."""
        return "; ".join(dict.fromkeys(list(self._away.values())))

    @property
    def has_open_parts(self) -> bool:
        """Whether this process reads anything still."""
        return bool(self._open)

    @property
    def epochs(self) -> int:
        """Epochs that have ended."""
        return max((self._ended, *list(self._epochs.values())))

    @property
    def unasked_since(self) -> float | None:
        """Since when a part waits to be asked, the longest, or will; None where none is open.

        Bytewax asks no part before the last epoch has ended in all processes.
        """
        return min(list(self._due.values()), default=None)

    @property
    def busy_since(self) -> float | None:
        """When the oldest of what is in the flow was given; None where nothing is."""
        return min(list(self._busy.values()), default=None)


ACTIVITY: Final = Activity()
