"""Logs and metrics: structured lines on stderr, Prometheus metrics under one prefix.

Every step of a flow is measured by `step`, so each has a latency, a count and an error count to look at. The metrics
appear on Bytewax's own /metrics page (`BYTEWAX_DATAFLOW_API_ENABLED=1`).
"""

import logging
import sys
import time
import warnings
from functools import cache
from types import TracebackType

import structlog
from prometheus_client import Counter, Gauge, Histogram

from core.stranger_text import harmless

_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)

POSTS = Counter("memewax_posts", "Valid posts read")
RECORDS = Counter("memewax_records", "Records that left the join", ["outcome"])
DEAD_LETTERS = Counter("memewax_dead_letters", "Dead letters", ["stage"])
REASONS = Counter(
    "memewax_reasons", "What could not be used, by stage and the beginning of its reason", ["stage", "kind"]
)
READY = Gauge("memewax_ready", "Processes whose models are loaded", multiprocess_mode="livesum")
DUPLICATES = Counter("memewax_duplicates", "Posts seen before and not counted again")
QUERIES = Counter("memewax_queries", "Queries read, broken ones too")
ANSWERS = Counter("memewax_answers", "Answers by outcome: found or error", ["outcome"])
STEP_SECONDS = Histogram("memewax_step_seconds", "Time of one batch in a step", ["step"], buckets=_SECONDS)
STEP_ITEMS = Counter("memewax_step_items", "Items through a step", ["step"])
STEP_ERRORS = Counter("memewax_step_errors", "Items that failed in a step", ["step"])
FETCHES = Counter("memewax_fetches", "Pictures fetched and decoded, or why not", ["outcome"])
FETCH_SECONDS = Histogram("memewax_fetch_seconds", "Time until a picture's bytes were there, or not", buckets=_SECONDS)
SKIPPED = Counter("memewax_skipped", "What a service lists and is no post, and why", ["service", "reason"])
MISFITS = Counter("memewax_misfits", "Values of own columns that are none of their type, and so null", ["column"])
SERVICE_REQUESTS = Counter("memewax_service_requests", "Requests to a service", ["service", "outcome"])
STREAM_GAPS = Counter("memewax_stream_gaps", "Gaps in a live stream, after which it went on", ["service"])
STREAM_GAP_SECONDS = Counter("memewax_stream_gap_seconds", "What those gaps were long, in all", ["service"])
STREAM_BEHIND = Gauge(
    "memewax_stream_behind_seconds",
    "Age of the newest post that was read of a live stream",
    ["service"],
    multiprocess_mode="livemax",
)
STREAM_RECONNECTS = Counter("memewax_stream_reconnects", "Connections of a live stream that broke", ["service"])
SERVICE_WAIT = Counter("memewax_service_wait_seconds", "Waited as a service asks, or to ask again", ["service"])
FETCH_BYTES = Counter("memewax_fetch_bytes", "Bytes of pictures fetched")
FETCH_RETRIES = Counter("memewax_fetch_retries", "Further tries to fetch a picture")
RETRIES = Counter("memewax_retries", "Pictures fetched again later, by what came of it", ["outcome"])
RETRY_WAITING = Gauge("memewax_retry_waiting", "Posts whose picture will be fetched again", multiprocess_mode="livesum")
FETCH_CONNECTIONS = Counter("memewax_fetch_connections", "Connections made to fetch pictures")
DECODE_SECONDS = Histogram("memewax_decode_seconds", "Time to decode one picture", buckets=_SECONDS)
FETCH_WAITING = Gauge("memewax_fetch_waiting", "Posts being fetched ahead", multiprocess_mode="livesum")
JOIN_PENDING = Gauge("memewax_join_pending", "Posts waiting in the join", multiprocess_mode="livesum")
CLUSTERS = Gauge("memewax_clusters", "Live clusters", multiprocess_mode="max")
LAG = Gauge(
    "memewax_source_lag", "Messages behind the end of the topic, or bytes of the file", multiprocess_mode="livesum"
)


class step:  # noqa: N801 - reads as a statement: `with step("join", len(batch)):`
    """Measure one batch of `items` through the step `name`; a batch that raises is not measured."""

    __slots__ = ("_items", "_name", "_start")

    def __init__(self, name: str, items: int) -> None:
        self._name = name
        self._items = items

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            seconds, items = _of_step(self._name)
            seconds.observe(time.perf_counter() - self._start)
            items.inc(self._items)


@cache
def _of_step(name: str) -> tuple[Histogram, Counter]:
    """A step's own metrics, looked up once."""
    return STEP_SECONDS.labels(name), STEP_ITEMS.labels(name)


def quieten_libraries() -> None:
    """Keep libraries from logging whole URLs, keys among them, and Pillow from warning of what becomes a reason."""
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="PIL")


def configure_logging(level: str = "info") -> None:
    """Log lines of JSON on stderr; coloured text where a person looks. Libraries keep quiet."""
    quieten_libraries()
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if sys.stderr.isatty():
        renderer = structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            _harmless,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        # Looked up for each line, since whoever runs commands in this process may have put another in its place.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def _harmless(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """What strangers wrote does nothing to the terminal that the line may be shown on."""
    return {name: harmless(value) if isinstance(value, str) else value for name, value in event.items()}


log: structlog.typing.FilteringBoundLogger = structlog.get_logger()
