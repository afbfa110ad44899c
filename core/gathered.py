"""Histograms that are told many values at once, since to observe one costs as much as some work that is measured.

What was gathered is observed when there is enough of it, and before anybody looks: `REGISTRY` collects from here first.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from prometheus_client import REGISTRY, Histogram, Metric
from prometheus_client.registry import Collector

_MANY: Final = 64
_ALL: "list[Gathered]" = []


def observe_all(histogram: Histogram, values: Iterable[float]) -> None:
    """Observe many values at once: each alone costs two counters with their locks."""
    bounds: Sequence[float] = histogram._upper_bounds  # noqa: SLF001 - the library takes one value at a time
    counts: dict[int, int] = {}
    total = 0.0
    for value in values:
        place = bisect_left(bounds, value)
        counts[place] = counts.get(place, 0) + 1
        total += value
    for place, count in counts.items():
        histogram._buckets[place].inc(count)  # noqa: SLF001
    if counts:
        histogram._sum.inc(total)  # noqa: SLF001


class Gathered:
    """Pairs of values for two histograms, such as what a batch took and how large it was; of any thread."""

    __slots__ = ("_first", "_pairs", "_second")

    def __init__(self, first: Histogram, second: Histogram) -> None:
        self._first = first
        self._second = second
        self._pairs: deque[tuple[float, float]] = deque()
        _ALL.append(self)

    def add(self, first: float, second: float) -> None:
        """Take a pair in."""
        self._pairs.append((first, second))
        if len(self._pairs) >= _MANY:
            self.observe()

    def observe(self) -> None:
        """Let the histograms have all that there is."""
        pairs = []
        try:
            while True:  # another thread may take some of them meanwhile
                pairs.append(self._pairs.popleft())
        except IndexError:
            pass
        observe_all(self._first, [first for first, _ in pairs])
        observe_all(self._second, [second for _, second in pairs])


class _BeforeAll(Collector):
    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> list[Metric]:
        for it in _ALL:
            it.observe()
        return []


REGISTRY.register(_BeforeAll())
