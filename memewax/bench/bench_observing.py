"""Cost of observability: interleaved runs of the flow with metrics, logs, status and health, and without them."""

import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

from core.counts import RunCounts
from memewax.bench.machine import machine

TIMED: Final = "memewax.bench.timed_flow"
UNOBSERVED: Final = "BENCH_UNOBSERVED"
"""Environment variable that disables the observability of a timed flow."""
CPU: Final = "BENCH_CPU"
"""Environment variable with the file to which a timed flow writes its CPU seconds."""
_SCRAPE_SECONDS: Final = 5.0
"""Interval between scrapes of the metrics; Prometheus scrapes every 15 to 60 s."""


@dataclass(frozen=True, slots=True)
class RunPair:
    """One run with observability and one without."""

    observed_rate: float
    """Throughput in posts per second, from the first record to the last."""
    unobserved_rate: float
    observed_cpu: float
    """CPU time per post in microseconds, of all threads, once the flow is built."""
    unobserved_cpu: float


Ran = Callable[[int, Callable[[RunCounts], None]], float]
"""Runs the flow `TIMED` with a health port and a callback for its counts; returns posts per second."""


class Scraper:
    """Scraper of the metrics on a port during a run, as Prometheus would."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}/metrics"
        self._next = 0.0
        self.pages = 0

    def look(self, _: RunCounts) -> None:
        """Scrape the metrics if a scrape is due."""
        now = time.monotonic()
        if now >= self._next:
            with suppress(OSError), urlopen(self._address, timeout=5) as page:  # noqa: S310 - our own
                self._next = now + _SCRAPE_SECONDS
                self.pages += bool(page.read())


def observing_cost(posts: int, turns: int, run: Ran) -> dict[str, Any]:
    """Compare `turns` pairs of runs over `posts` posts. The order within a pair alternates, to cancel drift."""
    measured = []
    for number in range(turns):
        print(f"memewax: with and without observability, turn {number + 1} of {turns}", file=sys.stderr)
        order = (True, False) if number % 2 else (False, True)
        found = {is_observed: _taken(run, is_observed=is_observed) for is_observed in order}
        per_post = {is_observed: 1e6 * cpu / posts for is_observed, (_, cpu) in found.items()}
        measured.append(RunPair(found[True][0], found[False][0], per_post[True], per_post[False]))
    return {
        "cost_percent_of_cpu": spread([100 * (it.observed_cpu / it.unobserved_cpu - 1) for it in measured]),
        "cost_percent_of_rate": spread([100 * (it.unobserved_rate / it.observed_rate - 1) for it in measured]),
        "observed_posts_per_second": spread([it.observed_rate for it in measured]),
        "unobserved_posts_per_second": spread([it.unobserved_rate for it in measured]),
        "observed_cpu_microseconds_per_post": spread([it.observed_cpu for it in measured]),
        "unobserved_cpu_microseconds_per_post": spread([it.unobserved_cpu for it in measured]),
        "n": posts,
        "turns": [asdict(it) for it in measured],
        "machine": machine(),
    }


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return the median of some values, their range (minimum, maximum) and their number."""
    return {
        "median": round(statistics.median(values), 2),
        "range": [round(min(values), 2), round(max(values), 2)],
        "n": len(values),
    }


def _taken(run: Ran, *, is_observed: bool) -> tuple[float, float]:
    """Run the flow; return its posts per second, and its CPU seconds once it was built."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    scraper = Scraper(port)
    with tempfile.TemporaryDirectory(prefix="memewax-bench-") as name:
        file = Path(name) / "cpu"
        os.environ[CPU], os.environ[UNOBSERVED] = str(file), "" if is_observed else "1"
        rate = run(port, scraper.look if is_observed else lambda _: None)
        return rate, float(file.read_text())
