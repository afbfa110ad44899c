"""Prefetching: units of a source are read, parsed and fetched ahead of who handles them, in order.

While a batch of models computes, a worker does nothing else. So the images of the next posts are fetched meanwhile,
in a pool. A unit is handed out when all of it is there, whole; what was only read ahead is read again after a crash.
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
"""What becomes of a message: a post with its image or why there is none, what is taken back, or neither."""

_Fetched = ParsedItem | Future[Arrival]


@dataclass(slots=True)
class PrefetchedUnit:
    """A unit on its way."""

    items: Sequence[_Fetched]
    resume: Position
    turn: int | None
    left: int
    """What the part holds after it."""
    live: Live | None
    read_at: float
    """Seconds since 1970."""

    def is_ready(self) -> bool:
        """Whether all of it is there."""
        return all(not isinstance(item, Future) or item.done() for item in self.items)

    def wait(self, seconds: float) -> bool:
        """Whether all of it is there within `seconds`."""
        return not wait([item for item in self.items if isinstance(item, Future)], seconds).not_done

    def cancel(self) -> None:
        """Begin none of the fetches that have not begun."""
        for item in self.items:
            if isinstance(item, Future):
                item.cancel()

    def result(self) -> list[ParsedItem]:
        """All of it, once it is ready."""
        return [item.result() if isinstance(item, Future) else item for item in self.items]

    def bytes(self) -> int:
        """Bytes of the images that are there already."""
        return sum(_bytes(item) for item in self.items)


class Bound:
    """How much may wait in all the queues of one worker together."""

    def __init__(self, max_posts: int, max_bytes: int) -> None:
        self._max_posts = max_posts
        self._max_bytes = max_bytes
        self.queues: list[PrefetchQueue] = []

    def waiting(self) -> int:
        """Count the posts that are fetched ahead."""
        return sum(len(unit.items) for queue in self.queues for unit in queue.units)

    def has_room(self) -> bool:
        """Whether more may be fetched ahead."""
        if self.waiting() >= self._max_posts:
            return False
        return sum(unit.bytes() for queue in self.queues for unit in queue.units) < self._max_bytes


class PrefetchQueue:
    """The units of one part of a source, fetched ahead."""

    def __init__(self, reader: Reader, fetching: Fetching, bound: Bound, *, with_deletes: bool = True) -> None:
        self._with_deletes = with_deletes
        self.reader = reader
        self.units: deque[PrefetchedUnit] = deque()
        self.is_idle = False
        """Whether the reader had nothing when it was asked last."""
        self._fetching = fetching
        self._bound = bound
        bound.queues.append(self)

    def fill(self) -> None:
        """Read ahead as far as the bound allows; one unit is always read."""
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
        """Whether its next unit is there."""
        return bool(self.units) and self.units[0].is_ready()

    def close(self) -> None:
        """Give back what it holds; a process ends only when its fetches have, so those not begun are cancelled."""
        for unit in self.units:
            unit.cancel()
        self.units.clear()
        self._bound.queues.remove(self)
        self.reader.close()


def without_removed(items: list[Post | Removal | DeadLetter]) -> list[Post | Removal | DeadLetter]:
    """Items in their order, without the posts that a later one takes back: they go through the flow side by side."""
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
