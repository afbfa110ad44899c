"""The flow of posts as it is, or with nothing that observes it, and how much CPU it took: a flow for workers.

Where `BENCH_UNOBSERVED` is set metrics count nothing, steps and snapshots are not timed, and there are no status files
and no port of health. What the process took from when the flow was built until it ends is written to `BENCH_CPU`.
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


class _Nobody:
    """In place of those who look at a flow."""

    def __init__(self, *_: object) -> None:
        pass

    def start(self) -> None:
        pass

    def ready(self, models: Mapping[str, str]) -> None:
        pass

    def end(self, error: BaseException | None = None) -> None:
        pass


def _nothing(*_: Any, **__: Any) -> None:
    """Do nothing, whatever is asked."""


def flow() -> Dataflow:
    """What a worker runs."""
    if os.environ.get(UNOBSERVED):
        _blindfold()
    made = memes.flow()
    start = time.process_time()
    file = Path(os.environ[CPU])
    atexit.register(lambda: file.write_text(f"{time.process_time() - start}"))
    return made


def _blindfold() -> None:
    for kind, does in ((Counter, "inc"), (Gauge, "inc"), (Gauge, "dec"), (Gauge, "set"), (Histogram, "observe")):
        setattr(kind, does, _nothing)
    for name in ("__enter__", "__exit__", "took"):
        setattr(telemetry.step, name, _nothing)
    for where, name, instead in (
        (outputs, "observe_ages", _nothing),
        (posts_table, "observe_ages", _nothing),
        (steps, "taken", _untimed),
        (BatchedSum, "inc", _nothing),
        (starting, "Observers", _Nobody),
        *((Activity, name, _nothing) for name in ("opened", "asked", "gave", "due", "snapshot", "closed")),
    ):
        setattr(where, name, instead)


def _untimed(_step: str, take: Callable[[], Any]) -> Any:
    return take()
