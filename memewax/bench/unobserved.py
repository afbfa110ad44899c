"""The flow of posts with nothing that observes it, to be measured beside the one that is: a flow for workers.

Metrics count nothing, steps and snapshots are not timed, and there are no status files and no port of health.
"""

from collections.abc import Callable, Mapping
from typing import Any

from bytewax.dataflow import Dataflow
from prometheus_client import Counter, Gauge, Histogram

from connectors.store import posts_table
from core import telemetry
from core.activity import Activity
from dataflows import memes, starting
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
    for kind, does in ((Counter, "inc"), (Gauge, "inc"), (Gauge, "dec"), (Gauge, "set"), (Histogram, "observe")):
        setattr(kind, does, _nothing)
    for name in ("__enter__", "__exit__"):
        setattr(telemetry.step, name, _nothing)
    for where, name, instead in (
        (outputs, "observe_ages", _nothing),
        (posts_table, "observe_ages", _nothing),
        (steps, "taken", _untimed),
        (starting, "Observers", _Nobody),
        *((Activity, name, _nothing) for name in ("opened", "asked", "gave", "snapshot", "closed")),
    ):
        setattr(where, name, instead)
    return memes.flow()


def _untimed(_step: str, take: Callable[[], Any]) -> Any:
    return take()
