"""Histograms that are told many values at once, since to observe one costs as much as some work that is measured.

What was gathered is observed when there is enough of it, and before anybody looks: `REGISTRY` collects from here first.
"""

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Collection
from itertools import repeat
from typing import Final

from prometheus_client import REGISTRY, Histogram, Metric
from prometheus_client.registry import Collector

_MANY: Final = 256
_ALL: "list[Gathered]" = []


def observe_all(histogram: Histogram, values: Collection[float]) -> None:
    """Observe many values at once: each alone costs two counters with their locks."""
    if values:
        bounds = histogram._upper_bounds  # noqa: SLF001 - the library takes one value at a time
        for place, count in Counter(map(bisect_left, repeat(bounds), values)).items():
            histogram._buckets[place].inc(count)  # noqa: SLF001
        histogram._sum.inc(sum(values))  # noqa: SLF001


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
        if pairs:
            firsts, seconds = zip(*pairs, strict=True)
            observe_all(self._first, firsts)
            observe_all(self._second, seconds)


class _BeforeAll(Collector):
    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> list[Metric]:
        for it in _ALL:
            it.observe()
        return []


REGISTRY.register(_BeforeAll())
