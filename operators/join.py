"""The join: one record per post, once every side has answered, or without some of them at the deadline.

State is kept in shards, never under one key per post: Bytewax leaves a tombstone in the recovery store for every key
that was discarded, and each resume reads them all. A shard holds the posts that still wait, and the ids it finished
last, so that a post that comes again is not counted again.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from bytewax import operators as op
from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream, StatefulBatchLogic
from prometheus_client import Counter

from core import drain
from core.bounded import Bounded
from core.partitions import part_of
from core.plain import from_plain, to_plain
from core.records import Arrival, Record, Side
from core.telemetry import DUPLICATES, JOIN_PENDING, RECORDS, log
from operators.operator_settings import JoinSettings
from operators.steps import map_batch, stateful

SHARDS: Final = 64
_REMEMBERED: Final = 256
"""Finished ids that a shard remembers: some 16,000 in all."""
_STALE: Final = 1024
"""Alarms of finished posts that are kept at most: behind one that still waits they would pile up until its deadline."""

Part = Arrival | Side[Any]
"""What is joined: a post, its picture gone, and the sides that answer for it."""
_KEYS: Final = tuple(f"{shard:02d}" for shard in range(SHARDS))


def shard_of(global_id: str) -> str:
    """The key under which a post is joined."""
    return _KEYS[part_of(global_id, SHARDS)]


@operator
def join(step_id: str, posts: Stream[Arrival], settings: JoinSettings, **sides: Stream[Side[Any]]) -> Stream[Record]:
    """Join posts with the sides that answer for them.

    Args:
        step_id: Name of the step.
        posts: The posts; their pictures go no further.
        settings: How long a post waits for its sides, and a late side for its post.
        **sides: A stream for each stage, by its name: all of them answer for every post.
    """
    keyed = [map_batch("key_post", posts, _key_posts)]
    keyed += [map_batch(f"key_{stage}", stream, _key_sides) for stage, stream in sides.items()]
    expected = frozenset(sides)
    deadline, late = settings.join_deadline_seconds, settings.join_late_seconds
    joined: KeyedStream[Record] = stateful(
        "wait", op.merge("all", *keyed), lambda state: Shard(expected, deadline, late, state=state), measured="join"
    )
    return map_batch("records", joined, lambda batch: [record for _, record in batch])


def _key_posts(posts: list[Arrival]) -> list[tuple[str, Part]]:
    return [(shard_of(it.post.global_id), Arrival(it.post, None, it.seconds)) for it in posts]


def _key_sides(sides: list[Side[Any]]) -> list[tuple[str, Part]]:
    return [(shard_of(side.global_id), side) for side in sides]


def _utc_seconds() -> float:
    return datetime.now(UTC).timestamp()


@dataclass(slots=True)
class _Entry:
    """A post that waits for sides, or sides that wait for their post."""

    deadline: float
    post: Arrival | None = None
    sides: dict[str, Side[Any]] = field(default_factory=dict)
    is_out: bool = False
    """Whether a partial record of it is out already."""


class Shard(StatefulBatchLogic[Part, Record, dict[str, Any]]):
    """The posts of one shard that wait for sides."""

    def __init__(
        self,
        expected: frozenset[str],
        deadline: float,
        late: float,
        *,
        now: Callable[[], float] = _utc_seconds,
        should_stop: Callable[[], bool] = drain.is_asked,
        state: dict[str, Any] | None = None,
    ) -> None:
        """Begin, or go on from a state.

        Args:
            expected: Stages that answer for every post.
            deadline: Seconds after a post's first part at which it goes out without the sides that are missing.
            late: Seconds after its deadline in which a late side still updates its record.
            now: Seconds since 1970.
            should_stop: Whether the flow is being drained, so that an end of input is none.
            state: A snapshot.
        """
        self._expected = expected
        self._deadline = deadline
        self._late = late
        self._now = now
        self._should_stop = should_stop
        self._entries: dict[str, _Entry] = {}
        self._finished: Bounded[str, None] = Bounded(_REMEMBERED)
        self._alarms: list[tuple[float, str]] = []
        if state is not None:
            self._restore(state)

    def on_batch(self, values: list[Part]) -> tuple[list[Record], bool]:
        """Take posts and sides in; records that are complete now go out."""
        now = self._now()
        before = len(self._entries)
        records = [record for part in values if (record := self._take(part, now)) is not None]
        updated = sum(bool(record.late) for record in records)
        _count("updated", updated)
        _count("joined", len(records) - updated)
        if len(self._entries) != before:
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
            if entry.post is not None and not entry.is_out:
                records.append(self._partial(entry))
                if self._late > 0:
                    self._set_alarm(global_id, entry, now + self._late)
                    continue
            self._forget(global_id, entry)
        return records, StatefulBatchLogic.RETAIN

    def on_eof(self) -> tuple[list[Record], bool]:
        """At the end of all input no more sides come; when it is only a drain, they come in the next run."""
        if self._should_stop():
            return [], StatefulBatchLogic.RETAIN
        records = [self._partial(it) for it in self._entries.values() if it.post is not None and not it.is_out]
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
            (global_id, entry.deadline, entry.is_out, to_plain(entry.post), to_plain(entry.sides))
            for global_id, entry in self._entries.items()
        ]
        return {"version": 2, "entries": entries, "finished": list(self._finished)}

    def _restore(self, state: dict[str, Any]) -> None:
        for global_id in state["finished"]:
            self._finished[global_id] = None
        for global_id, deadline, is_out, *parts in state["entries"]:
            post, sides = parts if state["version"] > 1 else _parts_of_version_1(*parts)
            entry = self._entries[global_id] = _Entry(deadline, from_plain(post), from_plain(sides), is_out)
            self._set_alarm(global_id, entry, deadline)
        JOIN_PENDING.inc(len(self._entries))

    def _take(self, part: Part, now: float) -> Record | None:
        if isinstance(part, Side):
            side, post, global_id = part, None, part.global_id
        else:
            side, post, global_id = None, part, part.post.global_id
        entry = self._entries.get(global_id) or self._begun(global_id, now, is_post=side is None)
        if entry is None:
            return None
        if side is None:
            if entry.post is not None:
                DUPLICATES.inc()
                return None
            entry.post = post
        elif side.stage in entry.sides:
            return None
        else:
            entry.sides[side.stage] = side
        if entry.post is not None and len(entry.sides) == len(self._expected):
            self._finish(global_id)
        elif not entry.is_out:
            return None
        return self._record(entry, (side.stage,) if entry.is_out and side is not None else ())

    def _begun(self, global_id: str, now: float, *, is_post: bool) -> _Entry | None:
        """An entry for a post of which nothing was known; None where the post is finished."""
        if global_id in self._finished:
            if is_post:
                DUPLICATES.inc()
            return None
        entry = self._entries[global_id] = _Entry(0.0)
        self._set_alarm(global_id, entry, now + self._deadline)
        return entry

    def _finish(self, global_id: str) -> None:
        del self._entries[global_id]
        self._finished[global_id] = None

    def _partial(self, entry: _Entry) -> Record:
        entry.is_out = True
        _count("partial", 1)
        return self._record(entry)

    def _record(self, entry: _Entry, late: tuple[str, ...] = ()) -> Record:
        assert entry.post is not None, "no record goes out without its post"
        missing = () if len(entry.sides) == len(self._expected) else tuple(sorted(self._expected - entry.sides.keys()))
        return Record(entry.post.post, dict(entry.sides), missing, entry.post.seconds, late)

    def _set_alarm(self, global_id: str, entry: _Entry, time: float) -> None:
        entry.deadline = time
        heapq.heappush(self._alarms, (time, global_id))

    def _forget(self, global_id: str, entry: _Entry) -> None:
        if entry.post is not None:
            self._finish(global_id)
        else:  # not finished: its post may yet come
            log.warning("sides without a post", global_id=global_id, sides=sorted(entry.sides))
            del self._entries[global_id]
        JOIN_PENDING.dec()


def _count(outcome: str, records: int) -> None:
    if records:  # a counter is a write into shared memory
        _counter_of(outcome).inc(records)


@cache
def _counter_of(outcome: str) -> Counter:
    """Look up the counter of an outcome once."""
    return RECORDS.labels(outcome)


def _parts_of_version_1(sides: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Post and sides, as plain values: version 1 kept the post among the sides."""
    rest = dict(sides)
    post = rest.pop("post", None)
    if post is None:
        return None, rest
    return to_plain(Arrival(from_plain(post["value"]), None, post["seconds"])), rest
