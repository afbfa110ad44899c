"""The input of a flow: posts with their pictures, fetched ahead while the models are busy.

While a batch computes, a worker does nothing else, so looking ahead cannot be a step of the flow: it happens in the
source. A unit goes into the flow when all of it is there, whole and in order; the snapshot is the position after the
last one that did. What was read ahead is read again after a crash.
"""

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from connectors.fetching.fetch import Fetching
from connectors.sources.parse import STAGE, post_or_letter
from connectors.sources.source import Position, Reader, Source
from core import drain
from core.records import Arrival, DeadLetter, Failed, Post
from core.telemetry import FETCH_WAITING, LAG, POSTS, STEP_ERRORS, step

_IDLE: Final = timedelta(milliseconds=50)
_SOON: Final = timedelta(milliseconds=2)

Incoming = Arrival | DeadLetter


@dataclass(slots=True)
class _Unit:
    """A unit on its way."""

    items: Sequence[Incoming | Future[Arrival]]
    resume: Position
    turn: int | None
    left: int
    """What the part holds after it."""

    def is_ready(self) -> bool:
        """Whether all of it is there."""
        return all(not isinstance(item, Future) or item.done() for item in self.items)

    def wait(self, seconds: float) -> bool:
        """Whether all of it is there within `seconds`."""
        return not wait([item for item in self.items if isinstance(item, Future)], seconds).not_done

    def cancel(self) -> None:
        for item in self.items:
            if isinstance(item, Future):
                item.cancel()

    def arrived(self) -> list[Incoming]:
        return [item.result() if isinstance(item, Future) else item for item in self.items]


class _Worker:
    """What the parts of one worker share: whose turn it is, and their bounds.

    One unit at a time goes into the flow, so that an epoch can end, and a snapshot be taken, after each. Bytewax asks
    all parts in one round and then lets the flow handle what they gave; so only one of them gives in a round.
    """

    def __init__(self, max_posts: int, max_bytes: int) -> None:
        self._max_posts = max_posts
        self._max_bytes = max_bytes
        self.parts: list[_Part] = []
        self._asked: set[_Part] = set()
        self._has_given = False
        self._given = 0

    def ask(self, part: "_Part") -> bool:
        """Whether `part` may give its next unit in this round; a part that is asked again begins a new one."""
        if part in self._asked:
            self._asked.clear()
            self._has_given = False
        self._asked.add(part)
        return not self._has_given and self._is_next(part)

    def give(self) -> int:
        """Take note that a part gives now; the number of the giving."""
        self._has_given = True
        self._given += 1
        return self._given

    def waiting(self) -> int:
        """Posts that are fetched ahead."""
        return sum(len(unit.items) for part in self.parts for unit in part.units)

    def bytes(self) -> int:
        """Of the pictures that are there already."""
        return sum(_bytes(item) for part in self.parts for unit in part.units for item in unit.items)

    def has_room(self) -> bool:
        """Whether more may be fetched ahead."""
        return self.waiting() < self._max_posts and self.bytes() < self._max_bytes

    def _is_next(self, part: "_Part") -> bool:
        """In the order of the source; where it has none, whoever is ready and waited longest."""
        turn = part.turn
        if turn is not None:
            return all(other.turn is None or other.turn >= turn for other in self.parts)
        return all(other.given >= part.given or not other.is_ready() for other in self.parts)


class FetchAhead(FixedPartitionedSource[Incoming, dict[str, Any]]):
    """A Bytewax source: reads `source`, parses, and fetches ahead within bounds.

    On one worker the parts of a file take turns in the order of the file, so that a crash does not change the order.
    """

    def __init__(self, source: Source, fetching: Fetching, *, max_posts: int, max_bytes: int) -> None:
        self._source = source
        self._fetching = fetching
        self._max_posts = max_posts
        self._max_bytes = max_bytes
        self._workers: dict[int, _Worker] = {}

    def list_parts(self) -> list[str]:
        """All parts of the source: any worker can read any of them."""
        return self._source.parts()

    def build_part(self, step_id: str, for_part: str, resume_state: dict[str, Any] | None) -> "_Part":  # noqa: ARG002
        """Read one part."""
        worker = self._workers.setdefault(threading.get_ident(), _Worker(self._max_posts, self._max_bytes))
        position = resume_state["position"] if resume_state else None
        part = _Part(self._source.open(for_part, position), position, worker, self._fetching)
        worker.parts.append(part)
        return part


class _Part(StatefulSourcePartition[Incoming, dict[str, Any]]):
    def __init__(self, reader: Reader, position: Position | None, worker: _Worker, fetching: Fetching) -> None:
        self.reader = reader
        self.units: deque[_Unit] = deque()
        self._position = position
        self._worker = worker
        self._fetching = fetching
        self._is_idle = False
        self.given = 0
        """Number of its last giving among those of the worker."""
        self.left = 0
        self._awake: datetime | None = None

    def next_batch(self) -> list[Incoming]:
        if drain.is_asked():
            raise StopIteration
        self._read_ahead()
        if not self.units:
            if self.reader.ended:
                raise StopIteration
            self._awake = datetime.now(UTC) + _IDLE
            return []
        unit = self.units[0]
        if not self._worker.ask(self):
            self._awake = datetime.now(UTC)
            return []
        # Parts in order: the first one waits for all of its pictures. Without an order nobody waits for another.
        if not unit.is_ready() and not (unit.turn is not None and unit.wait(_IDLE.total_seconds())):
            self._awake = datetime.now(UTC) + _SOON
            return []
        self.units.popleft()
        self.given = self._worker.give()
        self._position = unit.resume
        self.left = unit.left
        self._awake = datetime.now(UTC)
        items = unit.arrived()
        self._count(items)
        return items

    def next_awake(self) -> datetime | None:
        return self._awake

    def snapshot(self) -> dict[str, Any]:
        return {"version": 1, "position": self._position}

    def close(self) -> None:
        # A process ends only when its fetches have: those that nobody waits for any more need not begin.
        for unit in self.units:
            unit.cancel()
        self.units.clear()
        self._worker.parts.remove(self)
        self.reader.close()

    @property
    def turn(self) -> int | None:
        """Its place in the order; None where it has none or has nothing to give."""
        if self.units:
            return self.units[0].turn
        return None if self._is_idle or self.reader.ended else self.reader.turn

    def is_ready(self) -> bool:
        """Whether its next unit is there."""
        return bool(self.units) and self.units[0].is_ready()

    def _read_ahead(self) -> None:
        while not self.reader.ended and (not self.units or self._worker.has_room()):
            unit = self.reader.read()
            self._is_idle = unit is None
            if unit is None:
                return
            with step(STAGE, len(unit.messages)):
                parsed = [post_or_letter(message) for message in unit.messages]
            fetches = iter(self._fetching.start([item for item in parsed if isinstance(item, Post)]))
            items = [next(fetches) if isinstance(item, Post) else item for item in parsed]
            self.units.append(_Unit(items, unit.resume, unit.turn, self.reader.lag()))

    def _count(self, items: list[Incoming]) -> None:
        arrivals = sum(isinstance(item, Arrival) for item in items)
        POSTS.inc(arrivals)
        STEP_ERRORS.labels(STAGE).inc(len(items) - arrivals)
        FETCH_WAITING.set(self._worker.waiting())
        # Parts in order are of one file, of which each counts all that is left.
        LAG.set(self.left if self.reader.turn is not None else sum(part.left for part in self._worker.parts))


def _bytes(item: Incoming | Future[Arrival]) -> int:
    if isinstance(item, Future):
        if not item.done():
            return 0
        item = item.result()
    if isinstance(item, DeadLetter) or isinstance(item.picture, Failed):
        return 0
    return item.picture.nbytes
