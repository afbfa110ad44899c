"""The flow of posts, with or without observability, that reports its CPU time: a flow for workers.

If the environment variable `BENCH_UNOBSERVED` is set, metrics count nothing, steps and snapshots are not timed, and
there are no status files and no health port. The CPU seconds of the process, from when the flow is built until it
exits, are written to the file named by `BENCH_CPU`.
"""

import atexit
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bytewax.dataflow import Dataflow
from prometheus_client import Counter, Gauge, Histogram

from connectors.store import posts_table
from core import telemetry
from core.activity import Activity
from core.batched_metrics import BatchedSum
from dataflows import memes, starting
from memewax.bench.bench_observing import CPU, UNOBSERVED
from operators import outputs, steps


class _NullObservers:
    """Replacement for `Observers` that does nothing."""

    def __init__(self, *_: object) -> None:
        pass

    def start(self) -> None:
        pass

    def ready(self, models: Mapping[str, str]) -> None:
        pass

    def end(self, error: BaseException | None = None) -> None:
        pass


def _no_op(*_: Any, **__: Any) -> None:
    """Do nothing, whatever the arguments."""


def flow() -> Dataflow:
    """Build the flow that a worker runs."""
    if os.environ.get(UNOBSERVED):
        _disable_observability()
    built = memes.flow()
    start = time.process_time()
    file = Path(os.environ[CPU])
    atexit.register(lambda: file.write_text(f"{time.process_time() - start}"))
    return built


def _disable_observability() -> None:
    """Patch metrics, timers and observers of this process with no-ops."""
    for metric, method in ((Counter, "inc"), (Gauge, "inc"), (Gauge, "dec"), (Gauge, "set"), (Histogram, "observe")):
        setattr(metric, method, _no_op)
    for name in ("__enter__", "__exit__", "took"):
        setattr(telemetry.step, name, _no_op)
    for owner, name, replacement in (
        (outputs, "observe_ages", _no_op),
        (posts_table, "observe_ages", _no_op),
        (steps, "taken", _untimed),
        (BatchedSum, "inc", _no_op),
        (starting, "Observers", _NullObservers),
        *((Activity, name, _no_op) for name in ("opened", "asked", "gave", "due", "snapshot", "closed")),
    ):
        setattr(owner, name, replacement)


def _untimed(_step: str, take: Callable[[], Any]) -> Any:
    return take()
