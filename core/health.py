"""Whether the flow of this process is well: what probes of an orchestrator and alerts ask."""

import threading
import time
from collections.abc import Callable
from typing import Final

from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from core.activity import Activity
from core.http_pages import HttpPage, PageAnswer, PageRequest
from core.sections import SECTIONS
from core.status import ProcessStatus
from core.untrusted_text import one_line, shortened

_PROGRESS: Final = (
    "posts",
    "joined",
    "partial",
    "updated",
    "duplicates",
    "dead_letters",
    "queries",
    "answers",
    "requests",
)
"""Counts that grow while a flow works."""


class FlowHealth:
    """What is known of the flow of this process, told by those who look at it.

    Args:
        activity: Of its sources.
        stalled_seconds: Without a record, a reading or an epoch, while input waits: then it is stalled.
        clock: Monotonic, in seconds.
    """

    def __init__(self, activity: Activity, stalled_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._activity = activity
        self._stalled_seconds = stalled_seconds
        self._clock = clock
        self._is_ready = False
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] = ()
        self._progress_at = clock()
        self._waiting = ""
        self._drains = False

    def ready(self) -> None:
        """The models are loaded, and what is read and written has been reached."""
        self._is_ready = True
        self._progress_at = self._clock()

    def look(self, status: ProcessStatus) -> None:
        """Take note of how far the flow is."""
        counts = status.run_counts
        seen = (*(getattr(counts, name) for name in _PROGRESS), self._activity.epochs)
        with self._lock:
            if seen != self._seen:
                self._seen, self._progress_at = seen, self._clock()
            self._drains = status.state == "draining"
            self._waiting = self._what_waits(status.lag, status.queues.get("fetch", 0))

    def why_stalled(self) -> str | None:
        """Why the flow is stalled, None where it is not: it goes on, is idle by right, or has not begun."""
        with self._lock:
            seconds, waiting = self._clock() - self._progress_at, self._waiting
        if not self._is_ready or not waiting or seconds < self._stalled_seconds:
            return None
        steps = ", ".join(sorted(set(SECTIONS.steps.copy().values())))
        told = f"no record, no reading and no epoch for {seconds:,.0f} s, while {waiting}"
        return f"{told}; at work: {steps}" if steps else told

    def why_not_ready(self) -> str | None:
        """Why nothing can be taken in now, None where it can."""
        if not self._is_ready:
            return "the models are being loaded, or what is read and written has not been reached"
        if not self._activity.begun.is_set():
            return "it waits for the other processes of the flow"
        if self._drains:
            return "it drains: it was asked to stop"
        away = self._activity.away()
        return f"away: {shortened(one_line(away), 300)}" if away else self.why_stalled()

    def _what_waits(self, lag: int, fetched: int) -> str:
        activity = self._activity
        if activity.busy_since is not None:
            return "posts are in the flow"
        if not activity.has_open_parts:  # whatever is left is for other processes
            return ""
        if fetched:
            return f"{fetched:,} fetched posts wait"
        if lag:
            return f"{lag:,} wait to be read"
        since = activity.unasked_since
        if since is None or self._clock() - since < self._stalled_seconds:
            return ""
        return "an epoch does not end, so that nothing is read: another process of the flow may be out of reach"


def health_pages(health: FlowHealth) -> dict[str, HttpPage]:
    """The pages by which others see whether a process is well, and what it measures."""
    return {
        "/healthz": lambda _: _verdict(health.why_stalled()),
        "/readyz": lambda _: _verdict(health.why_not_ready()),
        "/metrics": _metrics,
    }


def _verdict(reason: str | None) -> PageAnswer:
    return PageAnswer.of(200, "ok") if reason is None else PageAnswer.of(503, reason)


def _metrics(request: PageRequest) -> PageAnswer:
    encoder, kind = choose_encoder(request.headers.get("accept", ""))
    return PageAnswer(200, encoder(REGISTRY), kind)
