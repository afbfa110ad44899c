"""Metrics of snapshots: duration and size."""

import pickle
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from prometheus_client import Histogram

from core.telemetry import SNAPSHOT_BYTES, SNAPSHOT_SECONDS


def take_snapshot(step: str, take: Callable[[], Any]) -> Any:
    """Take a snapshot; its duration and size are measured under the name `step` once Bytewax pickles it."""
    start = time.perf_counter()
    return _Taken(step, take(), time.perf_counter() - start)


class _Taken:
    """A state that is measured when it is pickled; unpickling returns the plain state."""

    __slots__ = ("_seconds", "_state", "_step")

    def __init__(self, step: str, state: Any, seconds: float) -> None:
        self._step = step
        self._state = state
        self._seconds = seconds

    def __reduce__(self) -> tuple[Callable[[bytes], Any], tuple[bytes]]:
        start = time.perf_counter()
        pickled = pickle.dumps(self._state)
        seconds, size = _of_step(self._step)
        seconds.observe(self._seconds + time.perf_counter() - start)
        size.observe(len(pickled))
        return pickle.loads, (pickled,)


@cache
def _of_step(step: str) -> tuple[Histogram, Histogram]:
    return SNAPSHOT_SECONDS.labels(step), SNAPSHOT_BYTES.labels(step)
