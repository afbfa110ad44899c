"""The join: one record per post, once every side has answered, or without some of them at the deadline.

State is kept in shards, never under one key per post: Bytewax leaves a tombstone in the recovery store for every key
that was discarded, and each resume reads them all. A shard holds the posts that still wait, and the ids it finished
last, so that a post that comes again is not counted again.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, cast
from zlib import crc32

from bytewax import operators as op
from bytewax.dataflow import Stream
from bytewax.operators import KeyedStream, StatefulBatchLogic

from core import drain
from core.bounded import Bounded
from core.plain import from_plain, to_plain
from core.records import Arrival, Post, Record, Side
from core.telemetry import DUPLICATES, JOIN_PENDING, RECORDS, log, step
from operators.infer import Read

POST: Final = "post"
"""The side that the post itself is."""
SHARDS: Final = 64
_REMEMBERED: Final = 256
"""Finished ids that a shard remembers: some 16,000 in all."""
_STALE: Final = 1024
"""Alarms of finished posts that are kept at most: behind one that still waits they would pile up until its deadline."""

Now = Callable[[], float]
_KEYS: Final = tuple(f"{shard:02d}" for shard in range(SHARDS))


def shard_of(global_id: str) -> str:
    """The key under which a post is joined."""
    return _KEYS[crc32(global_id.encode()) % SHARDS]


def join(
    step_id: str,
    arrivals: Stream[Arrival],
    sides: Sequence[Stream[Side[Any]]],
    reads: Stream[Read],
    *,
    expected: Sequence[str],
    deadline: float,
    late: float,
) -> Stream[Record]:
    """Join posts with the sides that answer for them.

    Args:
        step_id: Name of the step.
        arrivals: The posts; their pictures go no further.
        sides: A stream for each side.
        reads: The side that was read, whose stream carries captions too.
        expected: Stages that answer for every post.
        deadline: Seconds after a post's first side at which it goes out without those that are missing.
        late: Seconds after its deadline in which a late side still updates its record.
    """
    keyed = [
        op.flat_map_batch(f"{step_id}_posts", arrivals, _key_posts),
        op.flat_map_batch(f"{step_id}_reads", reads, _key_reads),
        *(op.flat_map_batch(f"{step_id}_sides_{number}", stream, _key_sides) for number, stream in enumerate(sides)),
    ]
    merged = op.merge(f"{step_id}_merge", *keyed)
    joined: KeyedStream[Record] = op.stateful_batch(
        step_id, merged, lambda state: Shard(frozenset(expected), deadline, late, _utc_seconds, state)
    )
    return op.map(f"{step_id}_records", joined, _value)


def _key_posts(arrivals: list[Arrival]) -> list[tuple[str, Side[Post]]]:
    return [(shard_of(it.post.global_id), Side(it.post.global_id, POST, it.post, it.seconds)) for it in arrivals]


def _key_sides(sides: list[Side[Any]]) -> list[tuple[str, Side[Any]]]:
    return [(shard_of(side.global_id), side) for side in sides]


def _key_reads(reads: list[Read]) -> list[tuple[str, Side[Any]]]:
    return [(shard_of(read.side.global_id), read.side) for read in reads]


def _value(item: tuple[str, Record]) -> Record:
    return item[1]


def _utc_seconds() -> float:
    return datetime.now(UTC).timestamp()


@dataclass(slots=True)
class _Entry:
    """A post that waits for sides."""

    deadline: float
    sides: dict[str, Side[Any]] = field(default_factory=dict)
    is_out: bool = False
    """Whether a partial record of it is out already."""


class Shard(StatefulBatchLogic[Side[Any], Record, dict[str, Any]]):
    """The posts of one shard that wait for sides."""

    def __init__(
        self, expected: frozenset[str], deadline: float, late: float, now: Now, state: dict[str, Any] | None = None
    ) -> None:
        self._expected = expected
        self._complete = len(expected) + 1
        self._deadline = deadline
        self._late = late
        self._now = now
        self._entries: dict[str, _Entry] = {}
        self._finished: Bounded[str, None] = Bounded(_REMEMBERED)
        self._alarms: list[tuple[float, str]] = []
        if state is not None:
            self._restore(state)

    def on_batch(self, values: list[Side[Any]]) -> tuple[list[Record], bool]:
        """Take sides in; records that are complete now go out."""
        records = []
        now = self._now()
        before = len(self._entries)
        with step("join", len(values)):
            for side in values:
                record = self._take(side, now)
                if record is not None:
                    records.append(record)
        JOIN_PENDING.inc(len(self._entries) - before)
        return records, StatefulBatchLogic.RETAIN

    def on_notify(self) -> tuple[list[Record], bool]:
        """Partial records of posts whose deadline has come; those whose late time is over are forgotten."""
        records = []
        now = self._now()
        while self._alarms and self._alarms[0][0] <= now:
            time, global_id = heapq.heappop(self._alarms)
            entry = self._entries.get(global_id)
            if entry is None or time < entry.deadline:
                continue  # it was finished meanwhile
            if POST in entry.sides and not entry.is_out:
                records.append(self._partial(entry))
                if self._late > 0:
                    self._set_alarm(global_id, entry, now + self._late)
                    continue
            self._forget(global_id, entry)
        return records, StatefulBatchLogic.RETAIN

    def on_eof(self) -> tuple[list[Record], bool]:
        """At the end of all input no more sides come; when it is only a drain, they come in the next run."""
        if drain.is_asked():
            return [], StatefulBatchLogic.RETAIN
        records = [self._partial(it) for it in self._entries.values() if POST in it.sides and not it.is_out]
        for global_id, entry in list(self._entries.items()):
            self._forget(global_id, entry)
        return records, StatefulBatchLogic.RETAIN

    def notify_at(self) -> datetime | None:
        """The next deadline."""
        if len(self._alarms) > 2 * len(self._entries) + _STALE:
            self._alarms = [(entry.deadline, global_id) for global_id, entry in self._entries.items()]
            heapq.heapify(self._alarms)
        while self._alarms and self._alarms[0][1] not in self._entries:
            heapq.heappop(self._alarms)
        return datetime.fromtimestamp(self._alarms[0][0], UTC) if self._alarms else None

    def snapshot(self) -> dict[str, Any]:
        """Plain values; few, since nothing waits when an epoch ends unless sides come from elsewhere."""
        entries = [
            (global_id, entry.deadline, entry.is_out, to_plain(entry.sides))
            for global_id, entry in self._entries.items()
        ]
        return {"version": 1, "entries": entries, "finished": list(self._finished)}

    def _restore(self, state: dict[str, Any]) -> None:
        for global_id in state["finished"]:
            self._finished[global_id] = None
        for global_id, deadline, is_out, sides in state["entries"]:
            entry = self._entries[global_id] = _Entry(deadline, from_plain(sides), is_out)
            self._set_alarm(global_id, entry, deadline)
        JOIN_PENDING.inc(len(self._entries))

    def _take(self, side: Side[Any], now: float) -> Record | None:
        global_id = side.global_id
        entry = self._entries.get(global_id)
        if entry is None:
            if global_id in self._finished:
                if side.stage == POST:
                    DUPLICATES.inc()
                return None
            entry = self._entries[global_id] = _Entry(0.0)
            self._set_alarm(global_id, entry, now + self._deadline)
        if side.stage in entry.sides:
            if side.stage == POST:
                DUPLICATES.inc()
            return None
        entry.sides[side.stage] = side
        if len(entry.sides) == self._complete:
            self._finish(global_id)
        elif not entry.is_out:
            return None
        return self._record(entry, "updated", (side.stage,)) if entry.is_out else self._record(entry, "joined")

    def _finish(self, global_id: str) -> None:
        del self._entries[global_id]
        self._finished[global_id] = None

    def _partial(self, entry: _Entry) -> Record:
        entry.is_out = True
        return self._record(entry, "partial")

    def _record(self, entry: _Entry, outcome: str, late: tuple[str, ...] = ()) -> Record:
        RECORDS.labels(outcome).inc()
        sides = dict(entry.sides)
        post = sides.pop(POST)
        missing = () if len(sides) == len(self._expected) else tuple(sorted(self._expected - sides.keys()))
        return Record(cast("Post", post.value), sides, missing, post.seconds, late)

    def _set_alarm(self, global_id: str, entry: _Entry, time: float) -> None:
        entry.deadline = time
        heapq.heappush(self._alarms, (time, global_id))

    def _forget(self, global_id: str, entry: _Entry) -> None:
        if POST in entry.sides:
            self._finish(global_id)
        else:  # not finished: its post may yet come
            log.warning("sides without a post", global_id=global_id, sides=sorted(entry.sides))
            del self._entries[global_id]
        JOIN_PENDING.dec()
