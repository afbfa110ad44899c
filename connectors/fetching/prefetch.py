"""Prefetch with back-pressure: read, parse and fetch units of a source ahead of the dataflow, in order.

While models compute a batch, their worker does nothing else. So a thread pool prefetches the images of the next posts
meanwhile. A unit is handed out when all its images have arrived. A bound on prefetched posts and bytes applies
back-pressure: while it is reached, no more is read. After a crash, units that were only prefetched are read again.
"""

import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass

import numpy as np

from connectors.fetching.fetch import Fetching
from connectors.sources.parse import STAGE, parsed
from connectors.sources.source import Live, Position, Reader
from core.records import Arrival, DeadLetter, Post, Removal
from core.telemetry import step

ParsedItem = Arrival | Removal | DeadLetter
"""A parsed message: a post with its image or failure, a removal, or a dead letter."""

_Fetched = ParsedItem | Future[Arrival]


@dataclass(slots=True)
class PrefetchedUnit:
    """A unit whose images are being fetched."""

    items: Sequence[_Fetched]
    resume: Position
    turn: int | None
    left: int
    """Lag of the partition after this unit, as `Reader.lag`."""
    live: Live | None
    read_at: float
    """Seconds since 1970."""

    def is_ready(self) -> bool:
        """Check whether all its images have arrived."""
        return all(not isinstance(item, Future) or item.done() for item in self.items)

    def wait(self, seconds: float) -> bool:
        """Wait for its images, at most `seconds`; return whether all have arrived."""
        return not wait([item for item in self.items if isinstance(item, Future)], seconds).not_done

    def cancel(self) -> None:
        """Cancel the fetches that have not started."""
        for item in self.items:
            if isinstance(item, Future):
                item.cancel()

    def result(self) -> list[ParsedItem]:
        """Return all items; waits for fetches that are still running."""
        return [item.result() if isinstance(item, Future) else item for item in self.items]

    def bytes(self) -> int:
        """Return the size of the images that have arrived."""
        return sum(_bytes(item) for item in self.items)


class Bound:
    """Back-pressure: the limit on posts and bytes in all prefetch queues of a worker."""

    def __init__(self, max_posts: int, max_bytes: int) -> None:
        self._max_posts = max_posts
        self._max_bytes = max_bytes
        self.queues: list[PrefetchQueue] = []

    def waiting(self) -> int:
        """Count the prefetched posts."""
        return sum(len(unit.items) for queue in self.queues for unit in queue.units)

    def has_room(self) -> bool:
        """Check whether more may be prefetched."""
        if self.waiting() >= self._max_posts:
            return False
        return sum(unit.bytes() for queue in self.queues for unit in queue.units) < self._max_bytes


class PrefetchQueue:
    """Prefetched units of one partition of a source."""

    def __init__(self, reader: Reader, fetching: Fetching, bound: Bound, *, with_deletes: bool = True) -> None:
        self._with_deletes = with_deletes
        self.reader = reader
        self.units: deque[PrefetchedUnit] = deque()
        self.is_idle = False
        """Whether the reader returned nothing at the last call."""
        self._fetching = fetching
        self._bound = bound
        bound.queues.append(self)

    def fill(self) -> None:
        """Prefetch units as far as the bound allows; the first unit is always read."""
        while not self.reader.ended and (not self.units or self._bound.has_room()):
            read_at = time.time()
            unit = self.reader.read()
            self.is_idle = unit is None
            if unit is None:
                return
            with step(STAGE, len(unit.messages)):
                items = [parsed(message) for message in unit.messages]
                if self._with_deletes:
                    items = without_removed(items)
                else:
                    items = [it for it in items if not isinstance(it, Removal)]
            fetches = iter(self._fetching.start([item for item in items if isinstance(item, Post)]))
            begun = [next(fetches) if isinstance(item, Post) else item for item in items]
            self.units.append(PrefetchedUnit(begun, unit.resume, unit.turn, self.reader.lag(), unit.live, read_at))

    def is_ready(self) -> bool:
        """Check whether the next unit is ready."""
        return bool(self.units) and self.units[0].is_ready()

    def close(self) -> None:
        """Release everything; cancel fetches that have not started, since the process waits for all others at exit."""
        for unit in self.units:
            unit.cancel()
        self.units.clear()
        self._bound.queues.remove(self)
        self.reader.close()


def without_removed(items: list[Post | Removal | DeadLetter]) -> list[Post | Removal | DeadLetter]:
    """Drop posts that a later removal in the same unit removes, since posts and removals take parallel branches."""
    removals = [(place, it) for place, it in enumerate(items) if isinstance(it, Removal) and it.hidden is None]
    if not removals:
        return items
    return [
        it
        for place, it in enumerate(items)
        if not isinstance(it, Post) or not any(later > place and removal.names(it) for later, removal in removals)
    ]


def _bytes(item: _Fetched) -> int:
    if isinstance(item, Future):
        if not item.done():
            return 0
        item = item.result()
    return item.image.nbytes if isinstance(item, Arrival) and isinstance(item.image, np.ndarray) else 0
