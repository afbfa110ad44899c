"""Load shedding: bound the lag of live streams by dropping a share of their posts.

If posts arrive faster than the flow handles them, it falls behind: one second of the stream takes more than a second.
The shedder measures this between two posts that were read under the same share, and sets the share to the value that
would have kept up: slightly lower while posts are older than half of the allowed lag, and slightly higher while they
are younger. Posts that were read before the last change of the share say nothing about its effect and are ignored.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from connectors.sources.source import Live
from core.telemetry import SHARE_ASKED, SHARE_KEPT, STREAM_BEHIND, log

_LOGGED_SECONDS: Final = 60.0
"""A longer lag is logged, at this interval."""
_MEASURE_SECONDS: Final = 2.0
"""Shortest time over which to measure progress."""
_FRESH_SECONDS: Final = 10.0
"""Lags of partitions that are older than this are ignored."""
_LEAST_FACTOR: Final = 0.25
_MOST_FACTOR: Final = 1.25
"""Smallest and largest factor by which one step changes the share."""
_LEAST_SHARE: Final = 0.001


@dataclass(slots=True)
class _Point:
    """The lag at one moment, both in seconds."""

    time: float
    behind: float


class LoadShedder:
    """Controls the share of posts that a process reads from live streams, so that their lag stays bounded.

    Args:
        most: Upper limit of the share, 0 to 1, from the settings.
        max_seconds: Maximum age of posts when they enter the flow; None: no load shedding.
        now: Clock, in seconds since 1970.
    """

    def __init__(self, most: float, max_seconds: float | None = None, now: Callable[[], float] = time.time) -> None:
        self.most = most
        self.share = most
        """Current share, 0 to 1."""
        self._max_seconds = max_seconds
        self._now = now
        self._lock = threading.Lock()
        """Workers may be threads."""
        self._lags: dict[str, _Point] = {}
        """Latest lag by partition."""
        self._logged_at = now()
        self._changed_at = now()
        self._since: _Point | None = None
        """First measurement under the current share."""
        self._waits = 0.0
        SHARE_KEPT.set(most)
        SHARE_ASKED.set(most)

    def is_too_old(self, live: Live) -> bool:
        """Check whether a post that is read now would exceed the maximum age when it enters the flow."""
        return self._max_seconds is not None and self._now() - live.time + self._waits > self._max_seconds

    def record_emitted(self, part: str, live: Live, read_at: float) -> None:
        """Record that posts enter the flow, and adjust the share.

        Args:
            part: Partition of the posts.
            live: Their age.
            read_at: When they were read, in seconds since 1970.
        """
        with self._lock:
            now = self._now()
            behind = max(0.0, now - live.time)
            STREAM_BEHIND.labels(live.service).set(behind)
            self._lags[part] = _Point(now, behind)
            self._log_lag(live.service, behind, now)
            if self._max_seconds is not None and not live.is_left_out:
                self._waits = now - read_at
                if read_at >= self._changed_at:
                    self._adjust(self._max_seconds, now)

    def _adjust(self, max_seconds: float, now: float) -> None:
        self._lags = {part: it for part, it in self._lags.items() if now - it.time <= _FRESH_SECONDS}
        behind = max(it.behind for it in self._lags.values())
        if self._since is None:
            self._since = _Point(now, behind)
        seconds = now - self._since.time
        if seconds < _MEASURE_SECONDS:
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

    def _log_lag(self, service: str, behind: float, now: float) -> None:
        if behind > _LOGGED_SECONDS and now - self._logged_at > _LOGGED_SECONDS:
            self._logged_at = now
            log.info("behind the stream", source=service, seconds=round(behind), share_kept=round(self.share, 4))
