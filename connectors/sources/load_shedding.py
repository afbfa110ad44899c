"""How old posts of live streams are when they go into the flow, and which share of them is read.

Where posts come faster than the flow handles them, a second of the stream takes longer than a second. How much longer
is measured between two posts that were read under the same share, and the share is set to what would have kept up: a
little lower while posts are older than half of what is allowed, and a little higher while they are younger. What was
read before a change tells nothing of it, and is not looked at.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from connectors.sources.source import Live
from core.telemetry import SHARE_ASKED, SHARE_KEPT, STREAM_BEHIND, log

_TOLD_SECONDS: Final = 60.0
"""Whoever is further behind is told so, as often."""
_ROUND_SECONDS: Final = 2.0
"""Over which progress is measured, at least."""
_FRESH_SECONDS: Final = 10.0
"""What the parts of a source said longer ago does not count where another has said something since."""
_LEAST_FACTOR: Final = 0.25
_MOST_FACTOR: Final = 1.25
"""By which a share is changed at once."""
_LEAST_SHARE: Final = 0.001


@dataclass(slots=True)
class _Point:
    """A moment, and how far behind posts were in it."""

    time: float
    behind: float


class LoadShedder:
    """The share of posts that is read, by a process.

    Args:
        most: What is never exceeded: the share that the settings ask for.
        max_seconds: How old posts may be when they go into the flow; None: the share stays as it is.
        now: Seconds since 1970.
    """

    def __init__(self, most: float, max_seconds: float | None = None, now: Callable[[], float] = time.time) -> None:
        self.most = most
        self.share = most
        """Now."""
        self._max_seconds = max_seconds
        self._now = now
        self._lock = threading.Lock()
        """Workers may be threads."""
        self._said: dict[str, _Point] = {}
        """By the parts of sources."""
        self._told_at = now()
        self._changed_at = now()
        self._since: _Point | None = None
        """The first that was given under this share."""
        self._waits = 0.0
        SHARE_KEPT.set(most)
        SHARE_ASKED.set(most)

    def is_too_old(self, live: Live) -> bool:
        """Whether a post that is read now would be older than it may be when it goes into the flow."""
        return self._max_seconds is not None and self._now() - live.time + self._waits > self._max_seconds

    def given(self, part: str, live: Live, read_at: float) -> None:
        """Take note that posts of a part of a source go into the flow, which were read at a time."""
        with self._lock:
            now = self._now()
            behind = max(0.0, now - live.time)
            STREAM_BEHIND.labels(live.service).set(behind)
            self._said[part] = _Point(now, behind)
            self._tell(live.service, behind, now)
            if self._max_seconds is not None and not live.is_left_out:
                self._waits = now - read_at
                if read_at >= self._changed_at:
                    self._adjust(self._max_seconds, now)

    def _adjust(self, max_seconds: float, now: float) -> None:
        self._said = {part: it for part, it in self._said.items() if now - it.time <= _FRESH_SECONDS}
        behind = max(it.behind for it in self._said.values())
        if self._since is None:
            self._since = _Point(now, behind)
        seconds = now - self._since.time
        if seconds < _ROUND_SECONDS:
            return
        progress = 1 - (behind - self._since.behind) / seconds  # seconds of the stream in a second
        wanted = 1 + (behind - max_seconds / 2) / max_seconds
        factor = min(max(progress / wanted, _LEAST_FACTOR), _MOST_FACTOR)
        share = min(max(self.share * factor, _LEAST_SHARE), self.most)
        self._since = None
        if share == self.share:
            return
        self.share, self._changed_at = share, now
        SHARE_KEPT.set(share)

    def _tell(self, service: str, behind: float, now: float) -> None:
        if behind > _TOLD_SECONDS and now - self._told_at > _TOLD_SECONDS:
            self._told_at = now
            log.info("behind the stream", source=service, seconds=round(behind), share_kept=round(self.share, 4))
