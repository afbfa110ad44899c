"""Liveness and readiness of this process's flow, for orchestrator probes and alerts."""

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
"""Counts that grow while a flow makes progress."""


class FlowHealth:
    """Tracks the progress of this process's flow.

    Args:
        activity: Activity of the sources of this process.
        stalled_seconds: Without a record, a reading or an epoch for this long while input waits, the flow is stalled.
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
        """Note that the models are loaded, and that sources and sinks were reached."""
        self._is_ready = True
        self._progress_at = self._clock()

    def update(self, status: ProcessStatus) -> None:
        """Update the progress from a status."""
        counts = status.run_counts
        seen = (*(getattr(counts, name) for name in _PROGRESS), self._activity.epochs)
        with self._lock:
            if seen != self._seen:
                self._seen, self._progress_at = seen, self._clock()
            self._drains = status.state == "draining"
            self._waiting = self._what_waits(status.lag, status.queues.get("fetch", 0))

    def why_stalled(self) -> str | None:
        """Return why the flow is stalled; None if it makes progress, is rightly idle, or has not begun."""
        with self._lock:
            seconds, waiting = self._clock() - self._progress_at, self._waiting
        if not self._is_ready or not waiting or seconds < self._stalled_seconds:
            return None
        steps = ", ".join(sorted(set(SECTIONS.steps.copy().values())))
        reason = f"no record, no reading and no epoch for {seconds:,.0f} s, while {waiting}"
        return f"{reason}; at work: {steps}" if steps else reason

    def why_not_ready(self) -> str | None:
        """Return why the process cannot accept input now; None if it can."""
        if not self._is_ready:
            return "the models are still loading, or sources and sinks have not been reached yet"
        if not self._activity.begun.is_set():
            return "waiting for the other processes of the flow"
        if self._drains:
            return "draining: the flow was asked to stop"
        away = self._activity.unavailable_reasons()
        return f"unreachable: {shortened(one_line(away), 300)}" if away else self.why_stalled()

    def _what_waits(self, lag: int, fetched: int) -> str:
        activity = self._activity
        if activity.busy_since is not None:
            return "posts are in the flow"
        if not activity.has_open_parts:  # whatever is left belongs to other processes
            return ""
        if fetched:
            return f"{fetched:,} fetched posts wait"
        if lag:
            return f"{lag:,} wait to be read"
        since = activity.unpolled_since
        if since is None or self._clock() - since < self._stalled_seconds:
            return ""
        return "an epoch does not end, so nothing is read: another process of the flow may be unreachable"


def health_pages(health: FlowHealth) -> dict[str, HttpPage]:
    """Return the HTTP pages for liveness, readiness and metrics."""
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
