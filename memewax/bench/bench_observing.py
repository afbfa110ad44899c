"""What it costs to observe a flow: the same run with metrics, logs, status and health, and without, by turns."""

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
"""Variable that is set where a timed flow is not observed."""
CPU: Final = "BENCH_CPU"
"""Variable that names the file in which it says how many seconds of CPU it took."""
_SCRAPE_SECONDS: Final = 5.0
"""Between two looks at the page of metrics: Prometheus looks every 15 to 60."""


@dataclass(frozen=True, slots=True)
class RunPair:
    """One run of each kind."""

    observed_rate: float
    """Posts a second, from the first record to the last."""
    unobserved_rate: float
    observed_cpu: float
    """Microseconds of CPU a post, of all threads, once the flow is built."""
    unobserved_cpu: float


Ran = Callable[[int, Callable[[RunCounts], None]], float]
"""Runs the flow that is named here with a port of health, looking on; gives posts a second."""


class Scraper:
    """Looks at the page of metrics of a port now and then, while a run goes on."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}/metrics"
        self._next = 0.0
        self.pages = 0

    def look(self, _: RunCounts) -> None:
        """Look, where it is time."""
        now = time.monotonic()
        if now >= self._next:
            with suppress(OSError), urlopen(self._address, timeout=5) as page:  # noqa: S310 - our own
                self._next = now + _SCRAPE_SECONDS
                self.pages += bool(page.read())


def observing_cost(posts: int, turns: int, run: Ran) -> dict[str, Any]:
    """Compare `turns` pairs of runs of `posts` posts, whose order changes."""
    measured = []
    for number in range(turns):
        print(f"memewax: observed and not, turn {number + 1} of {turns}", file=sys.stderr)
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
    """The median of some values, and the lowest and highest."""
    return {
        "median": round(statistics.median(values), 2),
        "range": [round(min(values), 2), round(max(values), 2)],
        "n": len(values),
    }


def _taken(run: Ran, *, is_observed: bool) -> tuple[float, float]:
    """Posts a second, and the seconds of CPU that the flow took once it was built."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    scraper = Scraper(port)
    with tempfile.TemporaryDirectory(prefix="memewax-bench-") as name:
        file = Path(name) / "cpu"
        os.environ[CPU], os.environ[UNOBSERVED] = str(file), "" if is_observed else "1"
        rate = run(port, scraper.look if is_observed else lambda _: None)
        return rate, float(file.read_text())
