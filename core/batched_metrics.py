"""Metrics that buffer values and observe them in batches, since one observation can cost as much as the work measured.

Buffers are flushed when they are large enough, and before each scrape: `REGISTRY` collects from this module first.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Collection
from typing import Final, Protocol, TypeVar

from prometheus_client import REGISTRY, Histogram, Metric
from prometheus_client.registry import Collector

T = TypeVar("T")

_MANY: Final = 1024


class _Keeper(Protocol):
    def observe(self) -> None:
        """Flush the buffer into the metrics."""


_ALL: list[_Keeper] = []


def observe_all(histogram: Histogram, values: Collection[float]) -> None:
    """Observe many values at once: one at a time, each would lock and increment two counters."""
    ordered = sorted(values)
    before = 0
    for place, bound in enumerate(histogram._upper_bounds):  # noqa: SLF001 - the library only takes single values
        if before == len(ordered):
            break
        upto = bisect_right(ordered, bound, before)
        if upto > before:
            histogram._buckets[place].inc(upto - before)  # noqa: SLF001
            before = upto
    if ordered:
        histogram._sum.inc(sum(ordered))  # noqa: SLF001


class BatchedHistograms:
    """Buffers pairs of values for two histograms, such as duration and size of a batch; thread-safe."""

    __slots__ = ("_first", "_pairs", "_second")

    def __init__(self, first: Histogram, second: Histogram) -> None:
        self._first = first
        self._second = second
        self._pairs: deque[tuple[float, float]] = deque()
        _ALL.append(self)

    def add(self, first: float, second: float) -> None:
        """Buffer a pair."""
        self._pairs.append((first, second))
        if len(self._pairs) >= _MANY:
            self.observe()

    def observe(self) -> None:
        """Flush the buffer into the histograms."""
        pairs = _taken_from(self._pairs)
        if pairs:
            firsts, seconds = zip(*pairs, strict=True)
            observe_all(self._first, firsts)
            observe_all(self._second, seconds)


class BatchedSum:
    """Buffers increments of a counter or gauge; thread-safe. `inc` is the metric's own method."""

    __slots__ = ("_amounts", "_inc")

    def __init__(self, inc: Callable[[float], None]) -> None:
        self._inc = inc
        self._amounts: deque[float] = deque()
        _ALL.append(self)

    def inc(self, amount: float) -> None:
        """Buffer an increment."""
        self._amounts.append(amount)
        if len(self._amounts) >= _MANY:
            self.observe()

    def observe(self) -> None:
        """Flush the buffer into the metric."""
        amounts = _taken_from(self._amounts)
        if amounts:
            self._inc(sum(amounts))


def _taken_from(waiting: deque[T]) -> list[T]:
    """Drain a queue into a list; another thread may take some of the items meanwhile."""
    found: list[T] = []
    try:
        while True:
            found.append(waiting.popleft())
    except IndexError:
        return found


class _BeforeAll(Collector):
    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> list[Metric]:
        for it in _ALL:
            it.observe()
        return []


REGISTRY.register(_BeforeAll())
