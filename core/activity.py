"""What the parts of the sources of this process did last: marks that other threads look at, on the monotonic clock."""

import time
from typing import Final


class Activity:
    """Marks set by workers and read by those who watch them; each is one assignment, so none needs a lock."""

    def __init__(self) -> None:
        self.epoch_at: float | None = None
        """End of the last epoch."""
        self._busy: dict[object, float] = {}
        self._epochs: dict[object, int] = {}
        self._ended = 0

    def asked(self, part: object) -> None:
        """A part of a source was asked: all that it gave before has been handled."""
        self._busy.pop(part, None)

    def gave(self, part: object) -> None:
        """A part has given something into the flow."""
        self._busy[part] = time.monotonic()

    def snapshot(self, part: object) -> None:
        """The position of a part was taken, as it is at the end of each epoch."""
        self._epochs[part] = self._epochs.get(part, 0) + 1
        self.epoch_at = time.monotonic()

    def closed(self, part: object) -> None:
        """A part has come to its end."""
        self._busy.pop(part, None)
        self._ended = max(self._ended, self._epochs.pop(part, 0))

    @property
    def epochs(self) -> int:
        """Epochs that have ended."""
        return max((self._ended, *list(self._epochs.values())))

    @property
    def busy_since(self) -> float | None:
        """When the oldest of what is in the flow was given; None where nothing is."""
        return min(list(self._busy.values()), default=None)


ACTIVITY: Final = Activity()
