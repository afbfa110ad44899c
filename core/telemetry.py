"""Structured logs on stderr, and Prometheus metrics with the prefix `memewax_`.

Every step of a flow is measured by `step`, so that each has latency, throughput and an error count. `core.health`
serves the metrics.
"""

import logging
import re
import sys
import time
import warnings
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from types import TracebackType
from typing import Any, Self

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from core.batched_metrics import BatchedHistograms, observe_all
from core.log_lines import with_exception, with_place, without_untrusted
from core.sections import SECTIONS
from core.traces import TRACES

_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
_AGES = (0.1, 0.3, 1, 3, 10, 30, 60, 180, 600, 1800, 3600, 21_600, 86_400)
_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_LONGEST_NAME = 40
_BYTES = tuple(4**power for power in range(4, 15))
"""256 bytes to 256 MB."""

BAD_RECORD = "a record that cannot be used"
"""Log message of a dead letter."""

UNEXPOSED = CollectorRegistry()
"""Registry of metrics whose labels contain untrusted text: used for the summary of a run, never served."""

POSTS = Counter("memewax_posts", "Valid posts read")
POSTS_IN_FLIGHT = Gauge(
    "memewax_posts_in_flight", "Posts in the flow that are not finished", multiprocess_mode="livesum"
)
RECORDS = Counter(
    "memewax_records",
    "Records that left the join, by outcome and whether a stage failed or is missing",
    ["outcome", "failed"],
)
DEAD_LETTERS = Counter("memewax_dead_letters", "Dead letters by stage and class of the reason", ["stage", "reason"])
REASONS = Counter(
    "memewax_reasons",
    "Dead letters and failures, by stage and the beginning of the reason",
    ["stage", "kind"],
    registry=UNEXPOSED,
)
READY = Gauge("memewax_ready", "Processes whose models are loaded", multiprocess_mode="livesum")
STARTED = Gauge(
    "memewax_start_time_seconds", "Start of the process, in seconds since 1970", multiprocess_mode="livemax"
)
BUILD_INFO = Gauge(
    "memewax_build_info",
    "1, with the versions of memewax and of Python",
    ["version", "python"],
    multiprocess_mode="livemax",
)
MODEL_INFO = Gauge(
    "memewax_model_info",
    "1, with the model of a stage and the engine that runs it",
    ["stage", "model", "engine"],
    multiprocess_mode="livemax",
)
DUPLICATES = Counter("memewax_duplicates", "Duplicate posts, which are not counted again")
QUERIES = Counter("memewax_queries", "Queries read, including invalid ones")
ANSWERS = Counter("memewax_answers", "Answers by outcome: found or error", ["outcome"])
STEP_SECONDS = Histogram("memewax_step_seconds", "Time of one batch in a step", ["step"], buckets=_SECONDS)
STEP_ITEMS = Histogram("memewax_step_items", "Items of one batch in a step", ["step"], buckets=_ITEMS)
STEP_ERRORS = Counter("memewax_step_errors", "Items that failed in a step", ["step"])
SINK_AGE = Histogram(
    "memewax_sink_age_seconds",
    "Time from the ingestion of a post until a sink has its record, if the post has a time of ingestion",
    ["sink"],
    buckets=_AGES,
)
FETCHES = Counter("memewax_fetches", "Fetches of images, by outcome", ["outcome"])
FETCH_SECONDS = Histogram("memewax_fetch_seconds", "Time to fetch an image, successful or not", buckets=_SECONDS)
SKIPPED = Counter("memewax_skipped", "Items of a service that are not posts, by reason", ["service", "reason"])
REMOVALS = Counter("memewax_removals", "Deletes, and hidden and shown accounts, as read", ["kind"])
REMOVED_ROWS = Counter("memewax_removed_rows", "Rows of stores that were deleted, hidden or shown again", ["kind"])
MISFITS = Counter("memewax_misfits", "Values of custom columns with another type, stored as null", ["column"])
SERVICE_REQUESTS = Counter("memewax_service_requests", "Requests to a service", ["service", "outcome"])
STREAM_GAPS = Counter("memewax_stream_gaps", "Gaps in a live stream", ["service"])
STREAM_GAP_SECONDS = Counter("memewax_stream_gap_seconds", "Total length of the gaps", ["service"])
SHARE_KEPT = Gauge(
    "memewax_share_kept", "Share of posts that is read, by sample and overload", multiprocess_mode="livemin"
)
SHARE_ASKED = Gauge("memewax_share_asked", "Share of posts that the settings ask for", multiprocess_mode="livemin")
for _share in (SHARE_KEPT, SHARE_ASKED):
    _share.set(1)  # also in a process that reads no posts: it leaves none out
STREAM_BEHIND = Gauge(
    "memewax_stream_behind_seconds",
    "Age of the newest post of a live stream when it entered the flow",
    ["service"],
    multiprocess_mode="livemax",
)
STREAM_RECONNECTS = Counter("memewax_stream_reconnects", "Reconnects of a live stream", ["service"])
SERVICE_WAIT = Counter("memewax_service_wait_seconds", "Time waited for rate limits and retries", ["service"])
FETCH_BYTES = Counter("memewax_fetch_bytes", "Bytes of images fetched")
FETCH_RETRIES = Counter("memewax_fetch_retries", "Immediate retries to fetch an image")
RETRIES = Counter("memewax_retries", "Later retries to fetch an image, by outcome", ["outcome"])
RETRY_WAITING = Gauge("memewax_retry_waiting", "Posts whose image will be fetched again", multiprocess_mode="livesum")
FETCH_CONNECTIONS = Counter("memewax_fetch_connections", "Connections opened to fetch images")
CACHE_HITS = Counter(
    "memewax_cache_hits", "Results found in the cache, by stage and how they were found", ["stage", "kind"]
)
CACHE_MISSES = Counter("memewax_cache_misses", "Results not found in the cache, and computed", ["stage"])
CACHE_EVICTIONS = Counter("memewax_cache_evictions", "Results evicted from the cache")
CACHE_ERRORS = Counter("memewax_cache_errors", "Errors of the cache")
CACHE_BYTES = Gauge("memewax_cache_bytes", "Size of the cache", multiprocess_mode="mostrecent")
CACHE_SECONDS_SAVED = Counter("memewax_cache_seconds_saved", "Time that computing the cached results had taken")
DECODE_SECONDS = Histogram("memewax_decode_seconds", "Time to decode one image", buckets=_SECONDS)
FETCH_WAITING = Gauge("memewax_fetch_waiting", "Posts being prefetched", multiprocess_mode="livesum")
JOIN_PENDING = Gauge("memewax_join_pending", "Posts waiting in the join", multiprocess_mode="livesum")
CLUSTERS = Gauge("memewax_clusters", "Live clusters", multiprocess_mode="max")
SINGLETONS = Gauge(
    "memewax_cluster_singletons", "Images without a cluster, if the clusterer counts them", multiprocess_mode="max"
)
CLUSTER_EVENTS = Counter(
    "memewax_cluster_events", "Changes of clusters: birth, merge, split, retire or revive", ["kind"]
)
SNAPSHOT_SECONDS = Histogram(
    "memewax_snapshot_seconds",
    "Time to take one snapshot of a step or sink, including waits",
    ["step"],
    buckets=_SECONDS,
)
SNAPSHOT_BYTES = Histogram("memewax_snapshot_bytes", "Size of one snapshot of a step or sink", ["step"], buckets=_BYTES)
STORE_WAITING = Gauge(
    "memewax_store_waiting", "Rows and commands waiting to be written to a store", multiprocess_mode="livesum"
)
STORE_WRITES = Counter("memewax_store_writes", "Writes to a table of a store", ["table"])
STORE_ROWS = Gauge(
    "memewax_store_rows", "Rows of a table, estimated between compactions", ["table"], multiprocess_mode="livemax"
)
STORE_FRAGMENTS = Gauge(
    "memewax_store_fragments", "Fragments of a table (upper bound)", ["table"], multiprocess_mode="livemax"
)
STORE_BYTES = Gauge(
    "memewax_store_bytes", "Size of a table, estimated between compactions", ["table"], multiprocess_mode="livemax"
)
LAG = Gauge(
    "memewax_source_lag", "Messages behind the end of the topic, or bytes of the file", multiprocess_mode="livesum"
)


def begin_stream(service: str) -> None:
    """Create the counters of a live stream at 0: to Prometheus, one that first appears at 1 has not increased."""
    for counter in (STREAM_GAPS, STREAM_GAP_SECONDS, STREAM_RECONNECTS):
        counter.labels(service)


def observe_ages(sink: str, times: Iterable[datetime | None]) -> None:
    """Observe the ages of posts that a sink has now written, from their times of ingestion; skips None."""
    now = time.time()
    ages = [now - it.timestamp() for it in times if it is not None]
    if min(ages, default=0.0) < 0:  # a clock ahead of ours, or a forged time
        ages = [max(0.0, age) for age in ages]
    observe_all(_ages_of(sink), ages)


def sink_name(place: str) -> str:
    """Return the metric label of a sink: the name of its file, folder or topic."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", place.partition("?")[0].rstrip("/").rpartition("/")[2])[:_LONGEST_NAME]


@cache
def _ages_of(sink: str) -> Histogram:
    return SINK_AGE.labels(sink)


class step:  # noqa: N801 - reads as a statement: `with step("join", len(batch)):`
    """Measures one batch of `items` through the step `name`; a batch that raises is not measured."""

    __slots__ = ("_gathered", "_items", "_name", "_of", "_section", "_span", "_start")

    def __init__(self, name: str, items: int = 0, of: Iterable[Any] = ()) -> None:
        """Prepare to measure a batch.

        Args:
            name: Name of the step.
            items: Size of the batch.
            of: Items that the trace span links to, if traces are on.
        """
        self._name = name
        self._items = items
        self._of = of
        self._gathered = _of_step(name)

    def is_only_measured(self) -> bool:
        """Check whether no trace or profile is taken, so that `took` suffices; log lines then lack the step."""
        return SECTIONS.clock is None and not TRACES.is_on

    def took(self, seconds: float, items: int) -> None:
        """Record a batch that the caller has measured."""
        self._gathered.add(seconds, items)

    def next(self, batch: Sequence[Any]) -> Self:
        """Set the next batch, to reuse the step for many batches, one at a time."""
        self._items = len(batch)
        self._of = batch
        return self

    def __enter__(self) -> None:
        self._span = TRACES.batch(self._name, self._items, self._of) if TRACES.is_on else None
        self._section = SECTIONS.enter(self._name)
        self._start = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        now = time.perf_counter()
        SECTIONS.leave(self._name, self._section, self._items)
        if self._span is not None:
            self._span.end(error)
        if kind is None:
            self._gathered.add(now - self._start, self._items)


@cache
def _of_step(name: str) -> BatchedHistograms:
    """Return the metrics of a step, looked up once."""
    return BatchedHistograms(STEP_SECONDS.labels(name), STEP_ITEMS.labels(name))


def quieten_libraries() -> None:
    """Stop libraries from logging whole URLs with keys, and Pillow from warning about what becomes a failure reason."""
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="PIL")


def configure_logging(level: str = "info", worker: int = 0) -> None:
    """Configure structured logs on stderr: JSON lines, or coloured text in a terminal; libraries are quietened.

    Args:
        level: Lowest level that is logged.
        worker: Index of this process among those of the flow.
    """
    quieten_libraries()
    is_terminal = sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if is_terminal else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            with_place(None if is_terminal else worker),
            with_exception,
            without_untrusted,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        # Looked up for each line, since code that runs commands in this process may have replaced it.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


def take_in_libraries() -> None:
    """Route logs and warnings of libraries into our log."""
    root = logging.getLogger()
    if not any(isinstance(it, _IntoLog) for it in root.handlers):
        root.addHandler(_IntoLog(logging.WARNING))
    logging.captureWarnings(capture=True)


class _IntoLog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        log.log(record.levelno, record.getMessage().strip(), logger=record.name, exc_info=error)
