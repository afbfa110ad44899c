"""The join: one record per post, once all stage results are there, or without the missing ones at the deadline.

State is kept by shard instead of by post: for every key that is discarded, Bytewax keeps a tombstone in the recovery
store, and reads all of them at each resume. A shard holds the posts that still wait, and remembers recent posts, so
that duplicates are not counted again. A post that arrives again is emitted again, as its next revision, if it failed
before or was edited since.
"""

import heapq
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from bytewax import operators as op
from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream, StatefulBatchLogic

from core import drain
from core.batched_metrics import BatchedSum
from core.bounded_dict import BoundedDict
from core.partitions import part_of
from core.records import Arrival, Failure, Record, StageResult
from core.snapshot_values import from_builtins, to_builtins
from core.telemetry import DUPLICATES, JOIN_PENDING, RECORDS, log
from operators.operator_settings import JoinSettings
from operators.steps import map_batch, stateful

SHARDS: Final = 64
_REMEMBERED: Final = 256
"""Posts that a shard remembers, plus as many that failed or were emitted more than once: some 16,000 in all."""
_HASH_KEY_BYTES: Final = 16
_MAX_FINISHED_ALARMS: Final = 1024
"""Maximum alarms of finished posts in the heap: behind a post that still waits, they pile up until its deadline."""

JoinInput = Arrival | StageResult[Any]
"""What is joined: a post without its image, or one of its stage results."""
_PENDING: Final = BatchedSum(JOIN_PENDING.inc)
_KEYS: Final = tuple(f"{shard:02d}" for shard in range(SHARDS))


def shard_of(global_id: str) -> str:
    """Return the key of the shard in which a post is joined."""
    return _KEYS[part_of(global_id, SHARDS)]


@operator
def join(
    step_id: str,
    posts: Stream[Arrival],
    settings: JoinSettings,
    revision_of: Callable[[str], int],
    **results: Stream[StageResult[Any]],
) -> Stream[Record]:
    """Join posts with their stage results.

    Args:
        step_id: Name of the step.
        posts: The posts; their images are dropped here.
        settings: How long a post waits for stage results, and how long late ones still update its record.
        revision_of: Returns the last revision of a post, by its id, from before the flow first ran; 0: none.
        **results: A stream for each stage, by its name: each has one result per post.
    """
    keyed = [map_batch("key_post", posts, _key_posts)]
    keyed += [map_batch(f"key_{stage}", stream, _key_results) for stage, stream in results.items()]
    expected = frozenset(results)
    # Create the counter at 0: to Prometheus, one that first appears at 1 has not increased.
    _counter_of("partial", is_failed=True)
    deadline, late = settings.join_deadline_seconds, settings.join_late_seconds
    joined: KeyedStream[Record] = stateful(
        "wait",
        op.merge("all", *keyed),
        lambda state: Shard(expected, deadline, late, revision_of, state=state),
        measured="join",
        many_keys=True,
    )
    return map_batch("records", joined, lambda batch: [record for _, record in batch])


def _key_posts(posts: list[Arrival]) -> list[tuple[str, JoinInput]]:
    return [(shard_of(it.post.global_id), Arrival(it.post, None, it.seconds, it.ticket, it.tries)) for it in posts]


def _key_results(results: list[StageResult[Any]]) -> list[tuple[str, JoinInput]]:
    return [(shard_of(it.global_id), _without_features(it)) for it in results]


def _without_features(result: StageResult[Any]) -> StageResult[Any]:
    """Drop what only the clusterer needs, which would make a snapshot a hundred times as large."""
    return result if result.patches is None else replace(result, patches=None, fingerprint=None)


def _utc_seconds() -> float:
    return datetime.now(UTC).timestamp()


_Key = tuple[str, int]
"""A post's `global_id`, and the ticket of one of its arrivals."""
_Closed = tuple[int, int]
"""The keyed hash of a post's `global_id`, and the ticket of one of its arrivals."""


class _Known(NamedTuple):
    """The history of a post."""

    revision: int
    """Last revision emitted; 0: none."""
    is_failed: bool
    """Whether that revision had a failure, or lacked a stage result."""
    edited: datetime | None


@dataclass(slots=True)
class _Entry:
    """A post that waits for stage results, or stage results that wait for their post."""

    deadline: float
    revision: int = 0
    """Last revision emitted."""
    post: Arrival | None = None
    results: dict[str, StageResult[Any]] = field(default_factory=dict)
    is_out: bool = False
    """Whether a partial record was emitted."""


class Shard(StatefulBatchLogic[JoinInput, Record, dict[str, Any]]):
    """The waiting posts of one shard."""

    def __init__(
        self,
        expected: frozenset[str],
        deadline: float,
        late: float,
        revision_of: Callable[[str], int],
        *,
        now: Callable[[], float] = _utc_seconds,
        should_stop: Callable[[], bool] = drain.is_stop_requested,
        state: dict[str, Any] | None = None,
    ) -> None:
        """Start empty, or restore from a snapshot.

        Args:
            expected: Stages that have a result for every post.
            deadline: Seconds after a post's first part at which it is emitted without the missing stage results.
            late: Seconds after the deadline in which a late stage result still updates the record.
            revision_of: Returns the last revision of a post from before the flow first ran.
            now: Wall clock, in seconds since 1970.
            should_stop: Whether the flow is being drained; then the end of input is not the end of the stream.
            state: A snapshot.
        """
        self._expected = expected
        self._deadline = deadline
        self._late = late
        self._revision_of = revision_of
        self._now = now
        self._should_stop = should_stop
        self._entries: dict[_Key, _Entry] = {}
        self._hash_key = os.urandom(_HASH_KEY_BYTES)
        """Key of the hashes of ids: the history of emitted posts does not name them, since they may be deleted."""
        self._known: BoundedDict[int, _Known] = BoundedDict(_REMEMBERED)
        """Posts by hash that were emitted once without a failure, or are waiting for the first time."""
        self._marked: BoundedDict[int, _Known] = BoundedDict(_REMEMBERED)
        """All other posts by hash: they are fewer, and so are remembered for longer."""
        self._closed: BoundedDict[_Closed, None] = BoundedDict(_REMEMBERED)
        """Arrivals that are finished or unwanted: further parts of them are dropped."""
        self._alarms: list[tuple[float, _Key]] = []
        self._outcomes: dict[tuple[str, bool], int] = {}
        """Counts of emitted records that are not in the metrics yet, by outcome and whether there was a failure."""
        if state is not None:
            self._restore(state)

    def on_batch(self, values: list[JoinInput]) -> tuple[list[Record], bool]:
        """Add posts and stage results; returns the records that are now complete."""
        now = self._now()
        before = len(self._entries)
        records = [record for part in values if (record := self._take(part, now)) is not None]
        self._count()
        if len(self._entries) != before:
            _PENDING.inc(len(self._entries) - before)
        return records, StatefulBatchLogic.RETAIN

    def on_notify(self) -> tuple[list[Record], bool]:
        """Return partial records of posts whose deadline has passed; forget those past their late time."""
        records = []
        now = self._now()
        while self._alarms and self._alarms[0][0] <= now:
            time, key = heapq.heappop(self._alarms)
            entry = self._entries.get(key)
            if entry is None or time < entry.deadline:
                continue  # finished meanwhile
            if entry.post is not None and not entry.is_out:
                records.append(self._partial(entry))
                if self._late > 0:
                    self._set_alarm(key, entry, now + self._late)
                    continue
            self._forget(key, entry)
        self._count()
        return records, StatefulBatchLogic.RETAIN

    def on_eof(self) -> tuple[list[Record], bool]:
        """Return partial records: no results follow the end of all input. A drain keeps posts for the next run."""
        if self._should_stop():
            return [], StatefulBatchLogic.RETAIN
        records = [self._partial(it) for it in self._entries.values() if it.post is not None and not it.is_out]
        for key, entry in list(self._entries.items()):
            self._forget(key, entry)
        self._count()
        return records, StatefulBatchLogic.RETAIN

    def notify_at(self) -> datetime | None:
        """Return the next deadline."""
        if len(self._alarms) > 2 * len(self._entries) + _MAX_FINISHED_ALARMS:
            self._alarms = [(entry.deadline, key) for key, entry in self._entries.items()]
            heapq.heapify(self._alarms)
        while self._alarms and self._alarms[0][1] not in self._entries:
            heapq.heappop(self._alarms)
        return datetime.fromtimestamp(self._alarms[0][0], UTC) if self._alarms else None

    def snapshot(self) -> dict[str, Any]:
        """Return plain values; few, since at the end of an epoch a post waits only for results of other workers."""
        entries = [
            (key, entry.deadline, entry.is_out, entry.revision, to_builtins(entry.post), to_builtins(entry.results))
            for key, entry in self._entries.items()
        ]
        known, marked = ([(key, *it) for key, it in kept.items()] for kept in (self._known, self._marked))
        kept = {"known": known, "marked": marked, "closed": list(self._closed)}
        return {"version": 4, "hash_key": self._hash_key, "entries": entries, **kept}

    def _restore(self, state: dict[str, Any]) -> None:
        if state["version"] < 3:
            state = _of_version_2(state)
        if "hash_key" in state:
            self._hash_key = state["hash_key"]
        else:  # version 3 stored plain ids
            for name in ("known", "marked"):
                state[name] = [(self._hash(global_id), *known) for global_id, *known in state[name]]
            state["closed"] = [(self._hash(global_id), ticket) for global_id, ticket in state["closed"]]
        for kept, name in ((self._known, "known"), (self._marked, "marked")):
            for post, *known in state[name]:
                kept[post] = _Known(*known)
        for key in state["closed"]:
            self._closed[key] = None
        for key, deadline, is_out, revision, post, results in state["entries"]:
            entry = self._entries[key] = _Entry(deadline, revision, from_builtins(post), from_builtins(results), is_out)
            self._set_alarm(key, entry, deadline)
        _PENDING.inc(len(self._entries))

    def _take(self, part: JoinInput, now: float) -> Record | None:
        late: tuple[str, ...] = ()
        if isinstance(part, StageResult):
            key = part.global_id, part.ticket
            entry = self._entries.get(key) or (None if self._is_closed(key) else self._entry(key, now))
            if entry is None or part.stage in entry.results:
                return None
            entry.results[part.stage] = part
            late = (part.stage,) if entry.is_out else ()
        else:
            key = part.post.global_id, part.ticket
            entry = self._posted(key, part, now)
            if entry is None:
                DUPLICATES.inc()
                return None
        if entry.post is not None and len(entry.results) == len(self._expected):
            self._finish(key)
        elif not entry.is_out:
            return None
        return self._record(entry, late)

    def _posted(self, key: _Key, post: Arrival, now: float) -> _Entry | None:
        """Return the entry that waits for the stage results of a post; None if the post is not wanted."""
        if key not in self._entries and self._is_closed(key):
            return None
        entry = self._entry(key, now)
        if entry.post is not None:
            return None
        known = self._of(key[0])
        if not _is_wanted(post, known):
            self._finish(key)
            return None
        entry.post = post
        # A retried post was emitted before, as revision 1, without its image.
        entry.revision = known.revision if known else max(self._revision_of(key[0]), min(post.tries, 1))
        edited = post.post.edited or (known.edited if known else None)
        self._note(key[0], _Known(entry.revision, is_failed=False, edited=edited))
        return entry

    def _entry(self, key: _Key, now: float) -> _Entry:
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(0.0)
            self._set_alarm(key, entry, now + self._deadline)
        return entry

    def _hash(self, global_id: str) -> int:
        name = global_id.encode(errors="surrogatepass")
        return int.from_bytes(blake2b(name, digest_size=8, key=self._hash_key).digest(), "little")

    def _is_closed(self, key: _Key) -> bool:
        return (self._hash(key[0]), key[1]) in self._closed

    def _of(self, global_id: str) -> _Known | None:
        post = self._hash(global_id)
        return self._marked.get(post) or self._known.get(post)

    def _note(self, global_id: str, known: _Known) -> None:
        """Remember the history of a post as the newest."""
        post = self._hash(global_id)
        self._known.pop(post, None)
        self._marked.pop(post, None)
        kept = self._marked if known.is_failed or known.revision > 1 else self._known
        kept[post] = known

    def _finish(self, key: _Key) -> None:
        del self._entries[key]
        self._closed[self._hash(key[0]), key[1]] = None

    def _partial(self, entry: _Entry) -> Record:
        entry.is_out = True
        return self._record(entry, is_partial=True)

    def _record(self, entry: _Entry, late: tuple[str, ...] = (), *, is_partial: bool = False) -> Record:
        assert entry.post is not None, "a record needs its post"
        post, results = entry.post.post, dict(entry.results)
        missing = () if len(results) == len(self._expected) else tuple(sorted(self._expected - results.keys()))
        known = self._of(post.global_id)
        entry.revision = max(entry.revision, known.revision if known else 0) + 1
        is_failed = bool(missing) or any(type(it.value) is Failure for it in results.values())
        self._note(post.global_id, _Known(entry.revision, is_failed, known.edited if known else post.edited))
        outcome = "partial" if is_partial else "updated" if entry.revision > 1 else "joined"
        self._outcomes[outcome, is_failed] = self._outcomes.get((outcome, is_failed), 0) + 1
        return Record(post, results, missing, entry.post.seconds, late, entry.revision)

    def _count(self) -> None:
        """Add the emitted records to the metrics."""
        for (outcome, is_failed), records in self._outcomes.items():
            _counter_of(outcome, is_failed=is_failed).inc(records)
        self._outcomes.clear()

    def _set_alarm(self, key: _Key, entry: _Entry, time: float) -> None:
        entry.deadline = time
        heapq.heappush(self._alarms, (time, key))

    def _forget(self, key: _Key, entry: _Entry) -> None:
        if entry.post is not None:
            self._finish(key)
        else:  # not finished: the post may still arrive
            log.warning("stage results without a post", step="join", global_id=key[0], stages=sorted(entry.results))
            del self._entries[key]
        _PENDING.inc(-1)


def _is_wanted(post: Arrival, known: _Known | None) -> bool:
    """Check whether to emit a post: it is new, failed before, or was edited since; a retry counts only if it failed."""
    if known is None or known.is_failed:
        return True
    edited = post.post.edited
    return not post.tries and edited is not None and (known.edited is None or edited > known.edited)


@cache
def _counter_of(outcome: str, *, is_failed: bool) -> BatchedSum:
    """Return the counter of an outcome, looked up once."""
    return BatchedSum(RECORDS.labels(outcome, "yes" if is_failed else "no").inc)


def _of_version_2(state: dict[str, Any]) -> dict[str, Any]:
    """Convert a state without tickets and revisions; version 1 stored the post among the stage results."""
    entries = []
    for global_id, deadline, is_out, *parts in state["entries"]:
        post, results = parts if state["version"] > 1 else _parts_of_version_1(*parts)
        entries.append(((global_id, 0), deadline, is_out, int(is_out), post, results))
    known = [(global_id, 1, False, None) for global_id in state["finished"]]
    return {"entries": entries, "known": known, "marked": [], "closed": []}


def _parts_of_version_1(results: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Separate the post from the stage results, as plain values."""
    rest = dict(results)
    post = rest.pop("post", None)
    if post is None:
        return None, rest
    return to_builtins(Arrival(from_builtins(post["value"]), None, post["seconds"])), rest
