"""The input of a flow: posts with prefetched images, which are fetched while the models are busy.

A batch is emitted once all of it is there, whole and in order. The snapshot holds the position after the last emitted
batch, and the posts whose image is to be fetched again; these are emitted a second time if that succeeds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zlib import crc32

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from connectors.fetching.fetch import Fetching
from connectors.fetching.prefetch import Bound, ParsedItem, PrefetchQueue
from connectors.fetching.retries import Retries
from connectors.sources.load_shedding import LoadShedder
from connectors.sources.parse import STAGE
from connectors.sources.source import Position, Source
from core import drain
from core.records import Arrival, DeadLetter, Removal
from core.telemetry import FETCH_WAITING, LAG, POSTS, POSTS_IN_FLIGHT, REMOVALS, STEP_ERRORS
from operators.scheduling import OnePerRound, OpenParts, PerWorker
from operators.steps import reported

_IDLE: Final = timedelta(milliseconds=50)
_SOON: Final = timedelta(milliseconds=2)
_LONGEST_TRY: Final = 600.0
"""Seconds; more than the timeouts of a fetch allow."""
_KIND_OF_REMOVAL: Final = {None: "delete", True: "hide", False: "show"}


@dataclass(slots=True)
class _Worker:
    """State shared by the partitions of one worker."""

    bound: Bound
    rounds: OnePerRound = field(default_factory=OnePerRound)
    parts: "list[_Part]" = field(default_factory=list)


class PrefetchingSource(FixedPartitionedSource[ParsedItem, dict[str, Any]]):
    """Reads and parses `source`, and prefetches images within bounds.

    Partitions of a file on one worker take turns in the order of the file, so that a crash does not change the order.

    Args:
        source: The source of messages.
        fetching: Fetches the images.
        max_posts: Posts that a worker may prefetch, beyond one batch per partition.
        max_bytes: Bytes of their images that may wait.
        tries: Later retries of an image that may become available.
        wait_seconds: Time to wait for retries at the end of the source.
        should_stop: Whether the source must end where it is.
        parts: Counts the partitions that this process opens.
        kept: Load shedder, which receives the ages of live posts.
        with_deletes: Whether removals are emitted; otherwise they are dropped.
        forgotten: Returns, at each snapshot, the removals whose posts must not be retried.
    """

    def __init__(
        self,
        source: Source,
        fetching: Fetching,
        *,
        max_posts: int,
        max_bytes: int,
        tries: int = 0,
        wait_seconds: float = 0.0,
        should_stop: Callable[[], bool] = drain.is_stop_requested,
        parts: OpenParts | None = None,
        kept: LoadShedder | None = None,
        with_deletes: bool = True,
        forgotten: Callable[[], Sequence[Removal]] = tuple,
    ) -> None:
        self._forgotten = forgotten
        self._with_deletes = with_deletes
        self._parts = parts or OpenParts()
        self._kept = kept or LoadShedder(1.0)
        self._source = source
        self._fetching = fetching
        self._should_stop = should_stop
        self._tries = tries
        self._wait_seconds = wait_seconds
        self._workers = PerWorker(lambda: _Worker(Bound(max_posts, max_bytes)))

    @reported
    def list_parts(self) -> list[str]:
        """List the partitions of the source; any worker can read any of them."""
        return self._source.parts()

    @reported
    def build_part(self, step_id: str, for_part: str, resume_state: dict[str, Any] | None) -> "_Part":  # noqa: ARG002
        """Open one partition."""
        worker = self._workers.get()
        position = resume_state["position"] if resume_state else None
        reader = self._source.open(for_part, position)
        queue = PrefetchQueue(reader, self._fetching, worker.bound, with_deletes=self._with_deletes)
        retries = Retries(self._fetching, self._tries, resume_state.get("retries") if resume_state else None)
        part = _Part(
            for_part,
            queue,
            retries,
            position,
            worker,
            self._should_stop,
            self._parts,
            self._wait_seconds,
            self._kept,
            self._forgotten,
        )
        worker.parts.append(part)
        worker.rounds.parts.append(part)
        return part


class _Part(StatefulSourcePartition[ParsedItem, dict[str, Any]]):
    def __init__(
        self,
        name: str,
        queue: PrefetchQueue,
        retries: Retries,
        position: Position | None,
        worker: _Worker,
        should_stop: Callable[[], bool],
        parts: OpenParts,
        wait_seconds: float,
        kept: LoadShedder,
        forgotten: Callable[[], Sequence[Removal]],
    ) -> None:
        self._forgotten = forgotten
        self._name = name
        self._kept = kept
        self.queue = queue
        self.retries = retries
        self._wait_seconds = wait_seconds
        self._wait_until: float | None = None
        self.given = 0
        self.left = 0
        self._in_flight = 0
        self._position = position
        self._worker = worker
        self._should_stop = should_stop
        self._awake: datetime | None = None
        self._parts = parts
        parts.begin()

    @reported
    def next_batch(self) -> list[ParsedItem]:
        self._note_given(0)  # what was emitted before has been processed
        if self._should_stop():
            raise self._ended()
        queue, now = self.queue, datetime.now(UTC)
        queue.fill()
        self.retries.begin()
        if not queue.units and not self.retries.is_ready():
            if queue.reader.ended and not self._waits(now.timestamp()):
                raise self._ended()
            self._awake = now + _IDLE
            return []
        if not self._worker.rounds.request_turn(self):
            self._awake = now
            return []
        if self.retries.is_ready():
            self._awake = datetime.now(UTC)
            again = [numbered(arrival, tries) for arrival, tries in self.retries.take()]
            if again:
                self.given = self._worker.rounds.give()
                self._note_given(len(again))
            return again
        unit = queue.units[0]
        # Ordered partitions: the first one waits for all of its images. Unordered ones never wait for each other.
        if not unit.is_ready() and not (unit.turn is not None and unit.wait(_IDLE.total_seconds())):
            self._awake = datetime.now(UTC) + _SOON
            return []
        queue.units.popleft()
        self.given = self._worker.rounds.give()
        self._position = unit.resume
        self.left = unit.left
        if unit.live is not None:
            self._kept.record_emitted(self._name, unit.live, unit.read_at)
        self._awake = datetime.now(UTC)
        items = [numbered(item) for item in unit.result()]
        self._note(items)
        self._count(items)
        return items

    def next_awake(self) -> datetime | None:
        return self._awake

    @reported
    def snapshot(self) -> dict[str, Any]:
        if self._position is not None:
            self.queue.reader.epoch_ended(self._position)
        if len(self.retries):
            for it in self._forgotten():
                self.retries.remove(it)
        return {"version": 2, "position": self._position, "retries": self.retries.state()}

    @reported
    def close(self) -> None:
        self._worker.parts.remove(self)
        self._worker.rounds.parts.remove(self)
        self._note_given(0)
        self.queue.close()
        self.retries.close()

    @property
    def turn(self) -> int | None:
        """Return the position in the order of the source; None if there is no order, or nothing to emit."""
        if self.queue.units:
            return self.queue.units[0].turn
        return None if self.queue.is_idle or self.queue.reader.ended else self.queue.reader.turn

    def is_ready(self) -> bool:
        """Check whether there is something to emit."""
        return self.queue.is_ready() or self.retries.is_ready()

    def _waits(self, now: float) -> bool:
        """Check whether a retry is due within the time that the end of the source waits for it."""
        if self._wait_until is None:
            self._wait_until = now + self._wait_seconds
        return self.retries.next_due() <= self._wait_until and now <= self._wait_until + _LONGEST_TRY

    def _ended(self) -> StopIteration:
        self._parts.end()
        return StopIteration()

    def _note_given(self, arrivals: int) -> None:
        if arrivals != self._in_flight:
            POSTS_IN_FLIGHT.inc(arrivals - self._in_flight)
            self._in_flight = arrivals

    def _note(self, items: list[ParsedItem]) -> None:
        """Schedule retries of images, and cancel those of removed posts."""
        for item in items:
            if isinstance(item, Arrival):
                self.retries.note(item)
            elif isinstance(item, Removal):
                for part in self._worker.parts:  # another partition may have read the post
                    part.retries.remove(item)

    def _count(self, items: list[ParsedItem]) -> None:
        arrivals = sum(isinstance(item, Arrival) for item in items)
        POSTS.inc(arrivals)
        self._note_given(arrivals)
        STEP_ERRORS.labels(STAGE).inc(sum(isinstance(item, DeadLetter) for item in items))
        for item in items:
            if isinstance(item, Removal):
                REMOVALS.labels(_KIND_OF_REMOVAL[item.hidden]).inc()
        FETCH_WAITING.set(self._worker.bound.waiting())
        # Ordered partitions belong to one file, and each counts the backlog of the whole file.
        in_order = self.queue.reader.turn is not None
        LAG.set(self.left if in_order else sum(part.left for part in self._worker.parts))


def numbered(item: ParsedItem, tries: int = 0, *, salt: int = 0) -> ParsedItem:
    """Set the ticket of an arrival: the same after a crash, another one if the post arrives again."""
    if not isinstance(item, Arrival):
        return item
    message = item.post.message
    ticket = (crc32(message.value, crc32(message.origin.encode())) + tries + (salt << 8)) & 0xFFFFFFFF
    return replace(item, ticket=ticket, tries=tries)
