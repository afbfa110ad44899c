"""Logs and metrics: structured lines on stderr, Prometheus metrics under one prefix.

Every step of a flow is measured by `step`, so each has a latency, a count and an error count to look at. `core.health`
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
"""From 256 bytes to 256 MB."""

BAD_RECORD = "a record that cannot be used"
"""What the line of a dead letter says."""

UNEXPOSED = CollectorRegistry()
"""Of metrics whose labels quote strangers: for the last words of a run, and on no page of metrics."""

POSTS = Counter("memewax_posts", "Valid posts read")
POSTS_IN_FLIGHT = Gauge(
    "memewax_posts_in_flight", "Posts that the flow was given and is working on", multiprocess_mode="livesum"
)
RECORDS = Counter(
    "memewax_records",
    "Records that left the join, by outcome and whether a stage failed or is missing",
    ["outcome", "failed"],
)
DEAD_LETTERS = Counter("memewax_dead_letters", "Dead letters by stage and class of the reason", ["stage", "reason"])
REASONS = Counter(
    "memewax_reasons",
    "What could not be used, by stage and the beginning of its reason",
    ["stage", "kind"],
    registry=UNEXPOSED,
)
READY = Gauge("memewax_ready", "Processes whose models are loaded", multiprocess_mode="livesum")
STARTED = Gauge(
    "memewax_start_time_seconds", "When the process began, in seconds since 1970", multiprocess_mode="livemax"
)
BUILD_INFO = Gauge(
    "memewax_build_info",
    "1, with the version of memewax and of Python",
    ["version", "python"],
    multiprocess_mode="livemax",
)
MODEL_INFO = Gauge(
    "memewax_model_info",
    "1, with the model of a stage and the engine that runs it",
    ["stage", "model", "engine"],
    multiprocess_mode="livemax",
)
DUPLICATES = Counter("memewax_duplicates", "Posts seen before and not counted again")
QUERIES = Counter("memewax_queries", "Queries read, broken ones too")
ANSWERS = Counter("memewax_answers", "Answers by outcome: found or error", ["outcome"])
STEP_SECONDS = Histogram("memewax_step_seconds", "Time of one batch in a step", ["step"], buckets=_SECONDS)
STEP_ITEMS = Histogram("memewax_step_items", "Items of one batch in a step", ["step"], buckets=_ITEMS)
STEP_ERRORS = Counter("memewax_step_errors", "Items that failed in a step", ["step"])
SINK_AGE = Histogram(
    "memewax_sink_age_seconds",
    "From the ingestion of a post until a sink had its record, where the post says when it was ingested",
    ["sink"],
    buckets=_AGES,
)
FETCHES = Counter("memewax_fetches", "Images fetched and decoded, or why not", ["outcome"])
FETCH_SECONDS = Histogram("memewax_fetch_seconds", "Time until an image's bytes were there, or not", buckets=_SECONDS)
SKIPPED = Counter("memewax_skipped", "What a service lists and is no post, and why", ["service", "reason"])
REMOVALS = Counter("memewax_removals", "Deletes, and accounts that hide their posts or show them, as read", ["kind"])
REMOVED_ROWS = Counter("memewax_removed_rows", "Rows of stores that were deleted, hidden or shown again", ["kind"])
MISFITS = Counter("memewax_misfits", "Values of custom columns that are none of their type, and so null", ["column"])
SERVICE_REQUESTS = Counter("memewax_service_requests", "Requests to a service", ["service", "outcome"])
STREAM_GAPS = Counter("memewax_stream_gaps", "Gaps in a live stream, after which it went on", ["service"])
STREAM_GAP_SECONDS = Counter("memewax_stream_gap_seconds", "What those gaps were long, in all", ["service"])
SHARE_KEPT = Gauge(
    "memewax_share_kept", "Share of the posts that is read, by sample and overload", multiprocess_mode="livemin"
)
SHARE_ASKED = Gauge(
    "memewax_share_asked", "Share of the posts that is to be read, as the settings say", multiprocess_mode="livemin"
)
for _share in (SHARE_KEPT, SHARE_ASKED):
    _share.set(1)  # also of a process that reads no posts: none are left out there
STREAM_BEHIND = Gauge(
    "memewax_stream_behind_seconds",
    "Age of the newest post of a live stream when it went into the flow",
    ["service"],
    multiprocess_mode="livemax",
)
STREAM_RECONNECTS = Counter("memewax_stream_reconnects", "Connections of a live stream that broke", ["service"])
SERVICE_WAIT = Counter("memewax_service_wait_seconds", "Waited as a service asks, or to ask again", ["service"])
FETCH_BYTES = Counter("memewax_fetch_bytes", "Bytes of images fetched")
FETCH_RETRIES = Counter("memewax_fetch_retries", "Further tries to fetch an image")
RETRIES = Counter("memewax_retries", "Images fetched again later, by what came of it", ["outcome"])
RETRY_WAITING = Gauge("memewax_retry_waiting", "Posts whose image will be fetched again", multiprocess_mode="livesum")
FETCH_CONNECTIONS = Counter("memewax_fetch_connections", "Connections made to fetch images")
CACHE_HITS = Counter(
    "memewax_cache_hits", "Results that were known, by stage and how they were found", ["stage", "kind"]
)
CACHE_MISSES = Counter("memewax_cache_misses", "Results that were computed, and looked for in the cache", ["stage"])
CACHE_EVICTIONS = Counter("memewax_cache_evictions", "Results dropped from the cache to make room")
CACHE_ERRORS = Counter("memewax_cache_errors", "Times that the cache could not be used")
CACHE_BYTES = Gauge("memewax_cache_bytes", "Bytes of the cache in use", multiprocess_mode="mostrecent")
CACHE_SECONDS_SAVED = Counter("memewax_cache_seconds_saved", "What known results took to be computed")
DECODE_SECONDS = Histogram("memewax_decode_seconds", "Time to decode one image", buckets=_SECONDS)
FETCH_WAITING = Gauge("memewax_fetch_waiting", "Posts being fetched ahead", multiprocess_mode="livesum")
JOIN_PENDING = Gauge("memewax_join_pending", "Posts waiting in the join", multiprocess_mode="livesum")
CLUSTERS = Gauge("memewax_clusters", "Live clusters", multiprocess_mode="max")
SINGLETONS = Gauge(
    "memewax_cluster_singletons", "Images that are alone, where the clusterer tells", multiprocess_mode="max"
)
CLUSTER_EVENTS = Counter(
    "memewax_cluster_events", "What became of clusters: birth, merge, split, retire or revive", ["kind"]
)
SNAPSHOT_SECONDS = Histogram(
    "memewax_snapshot_seconds",
    "Time to take one snapshot of a step or sink, what it waits for included",
    ["step"],
    buckets=_SECONDS,
)
SNAPSHOT_BYTES = Histogram(
    "memewax_snapshot_bytes", "Bytes of one snapshot of a step or sink", ["step"], buckets=_BYTES
)
STORE_WAITING = Gauge(
    "memewax_store_waiting", "Rows and orders that wait to be written to a store", multiprocess_mode="livesum"
)
STORE_WRITES = Counter("memewax_store_writes", "Writes to a table of a store", ["table"])
STORE_ROWS = Gauge(
    "memewax_store_rows", "Rows of a table, estimated between compactions", ["table"], multiprocess_mode="livemax"
)
STORE_FRAGMENTS = Gauge(
    "memewax_store_fragments", "Fragments of a table, at most", ["table"], multiprocess_mode="livemax"
)
STORE_BYTES = Gauge(
    "memewax_store_bytes", "Bytes of a table, estimated between compactions", ["table"], multiprocess_mode="livemax"
)
LAG = Gauge(
    "memewax_source_lag", "Messages behind the end of the topic, or bytes of the file", multiprocess_mode="livesum"
)


def begin_stream(service: str) -> None:
    """Let the counters of a live stream be there at 0: one that appears at 1 never grew, as Prometheus sees it."""
    for counter in (STREAM_GAPS, STREAM_GAP_SECONDS, STREAM_RECONNECTS):
        counter.labels(service)


def observe_ages(sink: str, times: Iterable[datetime | None]) -> None:
    """Observe how long ago posts were ingested that a sink has now; None is not known and is left out."""
    now = time.time()
    ages = [now - it.timestamp() for it in times if it is not None]
    if min(ages, default=0.0) < 0:  # a clock that is ahead, or a stranger
        ages = [max(0.0, age) for age in ages]
    observe_all(_ages_of(sink), ages)


def sink_name(place: str) -> str:
    """A sink in the labels of metrics: the name of its file, folder or topic."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", place.partition("?")[0].rstrip("/").rpartition("/")[2])[:_LONGEST_NAME]


@cache
def _ages_of(sink: str) -> Histogram:
    return SINK_AGE.labels(sink)


class step:  # noqa: N801 - reads as a statement: `with step("join", len(batch)):`
    """Measure one batch of `items` through the step `name`; a batch that raises is not measured."""

    __slots__ = ("_gathered", "_items", "_name", "_of", "_section", "_span", "_start")

    def __init__(self, name: str, items: int = 0, of: Iterable[Any] = ()) -> None:
        """Begin with the batch.

        Args:
            name: Of the step.
            items: Of the batch.
            of: What its span has links to, where traces are on.
        """
        self._name = name
        self._items = items
        self._of = of
        self._gathered = _of_step(name)

    def is_only_measured(self) -> bool:
        """Whether nobody traces or profiles, so that `took` suffices; lines of the log then have no step."""
        return SECTIONS.clock is None and not TRACES.is_on

    def took(self, seconds: float, items: int) -> None:
        """Take in what a batch took that somebody else measured."""
        self._gathered.add(seconds, items)

    def next(self, batch: Sequence[Any]) -> Self:
        """The same step with another batch, for whoever has many: one at a time."""
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
    """A step's own metrics, looked up once."""
    return BatchedHistograms(STEP_SECONDS.labels(name), STEP_ITEMS.labels(name))


def quieten_libraries() -> None:
    """Keep libraries from logging whole URLs, keys among them, and Pillow from warning of what becomes a reason."""
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="PIL")


def configure_logging(level: str = "info", worker: int = 0) -> None:
    """Log lines of JSON on stderr; coloured text where a person looks. Libraries keep quiet.

    Args:
        level: The least that is logged.
        worker: Number of this process among those of a flow.
    """
    quieten_libraries()
    is_seen = sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if is_seen else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            with_place(None if is_seen else worker),
            with_exception,
            without_untrusted,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        # Looked up for each line, since whoever runs commands in this process may have put another in its place.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


log: structlog.typing.FilteringBoundLogger = structlog.get_logger()


def take_in_libraries() -> None:
    """Log what libraries log and warn of in this process as lines of our own."""
    root = logging.getLogger()
    if not any(isinstance(it, _IntoLog) for it in root.handlers):
        root.addHandler(_IntoLog(logging.WARNING))
    logging.captureWarnings(capture=True)


class _IntoLog(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        log.log(record.levelno, record.getMessage().strip(), logger=record.name, exc_info=error)
