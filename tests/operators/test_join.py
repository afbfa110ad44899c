"""One record per post, whatever comes when."""

import pickle
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from core import drain
from core.records import Arrival, Failure, Record, StageResult
from core.telemetry import DUPLICATES
from models.stages import stage_names
from operators import join
from operators.join import SHARDS, JoinInput, Shard, shard_of
from tests.factories import is_plain, post, sides

DEADLINE, LATE = 300.0, 100.0
POST = "post"
SIDES = stage_names()
STAGES = (POST, *SIDES)
START = 1_000_000.0


def side(global_id: str, stage: str) -> JoinInput:
    if stage == POST:
        return Arrival(post(global_id), None, 0.5)
    return sides(global_id)[stage]


def answers(global_id: str, *but: str) -> list[JoinInput]:
    """All sides of a post, the post among them."""
    return [side(global_id, stage) for stage in STAGES if stage not in but]


class Clocked:
    """A shard and its clock; Bytewax's part is played as Bytewax plays it."""

    def __init__(self, late: float = LATE) -> None:
        self.now = START
        self.late = late
        self.before: dict[str, int] = {}
        """Revisions that went out before the flow first ran."""
        self.shard = self.made(None)

    def made(self, state: dict[str, Any] | None) -> Shard:
        before = self.before
        return Shard(
            frozenset(SIDES), DEADLINE, self.late, lambda it: before.get(it, 0), now=lambda: self.now, state=state
        )

    def give(self, *values: JoinInput) -> list[Record]:
        records, discard = self.shard.on_batch(list(values))
        assert not discard
        return records

    def wait(self, seconds: float) -> list[Record]:
        """Let time pass; what alarms bring on the way."""
        end = self.now + seconds
        records: list[Record] = []
        while (alarm := self.shard.notify_at()) is not None and alarm.timestamp() <= end:
            self.now = max(self.now, alarm.timestamp())
            records += self.shard.on_notify()[0]
        self.now = end
        return records

    def end(self) -> list[Record]:
        return self.shard.on_eof()[0]

    def restart(self) -> None:
        self.shard = self.made(pickle.loads(pickle.dumps(self.shard.snapshot())))

    def waiting(self) -> set[str]:
        return {entry[0][0] for entry in self.shard.snapshot()["entries"]}


@pytest.fixture
def clocked() -> Clocked:
    return Clocked()


@pytest.fixture(autouse=True)
def _no_drain() -> Iterator[None]:
    yield
    drain.reset()


def seen(record: Record) -> tuple[Any, ...]:
    """What matters of a record."""
    assert all(it.global_id == record.post.global_id for it in record.results.values())
    return record.post.global_id, tuple(sorted(record.results)), record.missing, record.late


def whole(global_id: str) -> tuple[Any, ...]:
    return global_id, tuple(sorted(SIDES)), (), ()


def duplicates() -> float:
    return DUPLICATES._value.get()  # type: ignore[no-any-return]


# Complete


@given(st.permutations([(it, stage) for it in ("a", "b") for stage in STAGES]), st.integers(1, 14))
def test_a_post_is_joined_once_in_whatever_order_its_sides_come(order: list[tuple[str, str]], size: int) -> None:
    clocked = Clocked()
    values = [side(*it) for it in order]
    records = [
        record for start in range(0, len(values), size) for record in clocked.give(*values[start : start + size])
    ]
    assert sorted(map(seen, records)) == [whole("a"), whole("b")]
    assert clocked.wait(10 * DEADLINE) == []
    assert clocked.end() == []


def test_a_record_has_what_each_side_answered(clocked: Clocked) -> None:
    (record,) = clocked.give(*answers("a"))
    assert record.post == post("a")
    assert record.fetch_seconds == 0.5
    np.testing.assert_equal(dict(record.results), sides("a"))


def test_a_failure_is_an_answer(clocked: Clocked) -> None:
    failed: StageResult[Any] = StageResult("a", "text", Failure("text", "ValueError", "no"))
    (record,) = clocked.give(*answers("a", "text"), failed)
    assert record.missing == ()
    assert record.results["text"] == failed


@pytest.mark.parametrize("fails", [True, False])
def test_records_are_counted_by_outcome_and_failure(clocked: Clocked, fails: bool) -> None:
    def counted(outcome: str, failed: str) -> float:
        labels = {"outcome": outcome, "failed": failed}
        return REGISTRY.get_sample_value("memewax_records_total", labels) or 0.0

    told = "yes" if fails else "no"
    before = counted("joined", told), counted("partial", "yes")
    clocked.give(
        *answers("a", "text"), StageResult("a", "text", Failure("text", "ValueError", "no") if fails else None)
    )
    clocked.give(*answers("b", "text"))
    clocked.wait(DEADLINE)
    assert (counted("joined", told), counted("partial", "yes")) == (before[0] + 1, before[1] + 1)


def test_nothing_waits_when_all_have_answered(clocked: Clocked) -> None:
    clocked.give(*answers("a"), *answers("b"))
    assert clocked.waiting() == set()
    assert clocked.shard.notify_at() is None


# Deadlines


def test_at_the_deadline_a_post_goes_out_without_what_is_missing(clocked: Clocked) -> None:
    clocked.give(*answers("a", "text", "cluster"))
    assert clocked.wait(DEADLINE - 1) == []
    (record,) = clocked.wait(1)
    assert record.missing == ("cluster", "text")
    assert record.results.keys() == set(SIDES) - {"cluster", "text"}


def test_the_deadline_counts_from_the_first_side(clocked: Clocked) -> None:
    clocked.give(side("a", POST))
    clocked.wait(200)
    clocked.give(side("a", "text"))
    assert len(clocked.wait(100)) == 1


def test_bytewax_is_told_the_next_deadline(clocked: Clocked) -> None:
    clocked.give(side("a", POST))
    clocked.wait(10)
    clocked.give(side("b", POST))
    assert clocked.shard.notify_at() == datetime.fromtimestamp(START + DEADLINE, UTC)


def test_a_late_side_updates_the_record(clocked: Clocked) -> None:
    clocked.give(*answers("a", "text", "cluster"))
    clocked.wait(DEADLINE)
    (first,) = clocked.give(side("a", "text"))
    assert (first.late, first.missing) == (("text",), ("cluster",))
    (second,) = clocked.give(side("a", "cluster"))
    assert (second.late, second.missing) == (("cluster",), ())
    assert second.results.keys() == set(SIDES)
    assert clocked.waiting() == set()


def test_a_side_that_is_too_late_is_dropped(clocked: Clocked) -> None:
    clocked.give(*answers("a", "text"))
    clocked.wait(DEADLINE + LATE)
    assert clocked.waiting() == set()
    assert clocked.give(side("a", "text")) == []
    assert clocked.waiting() == set()


def test_where_nothing_late_is_waited_for_the_deadline_is_the_end() -> None:
    clocked = Clocked(late=0.0)
    clocked.give(*answers("a", "text"))
    assert len(clocked.wait(DEADLINE)) == 1
    assert clocked.waiting() == set()
    assert clocked.give(side("a", "text")) == []


# Duplicates


@pytest.mark.parametrize(
    "how", ["in one batch", "later", "after it was joined", "after its deadline", "after it was over"]
)
def test_a_post_that_comes_twice_is_one_record_and_counted_once(clocked: Clocked, how: str) -> None:
    before = duplicates()
    posted = side("a", POST)
    if how == "in one batch":
        records = clocked.give(posted, posted, *answers("a", POST), *answers("a", POST))
    elif how == "later":
        records = clocked.give(posted) + clocked.give(posted) + clocked.give(*answers("a", POST))
    elif how == "after it was joined":
        records = clocked.give(*answers("a")) + clocked.give(*answers("a"))
    else:
        clocked.give(posted)
        records = clocked.wait(DEADLINE if how == "after its deadline" else DEADLINE + LATE) + clocked.give(posted)
    assert len(records) == 1
    assert duplicates() - before == 1
    assert clocked.wait(10 * DEADLINE) == []


def test_the_first_answer_of_a_side_stays(clocked: Clocked) -> None:
    first: StageResult[Any] = StageResult("a", "text", None)
    (record,) = clocked.give(first, side("a", "text"), *answers("a", "text"))
    assert record.results["text"] is first


# Sides without a post


def test_sides_without_a_post_are_no_record(clocked: Clocked) -> None:
    clocked.give(*answers("a", POST))
    assert clocked.wait(DEADLINE + LATE) == []
    assert clocked.waiting() == set()


def test_a_post_after_its_sides_were_forgotten_is_not_lost(clocked: Clocked) -> None:
    clocked.give(*answers("a", POST))
    clocked.wait(DEADLINE)
    assert clocked.give(side("a", POST)) == []
    (record,) = clocked.wait(DEADLINE)
    assert record.missing == tuple(sorted(SIDES))


# The end of input


def test_at_the_end_what_waits_goes_out(clocked: Clocked) -> None:
    clocked.give(*answers("a", "text"), *answers("b", POST))
    assert [seen(record)[0] for record in clocked.end()] == ["a"]
    assert clocked.waiting() == set()


def test_at_the_end_what_went_out_already_does_not_again(clocked: Clocked) -> None:
    clocked.give(*answers("a", "text"))
    clocked.wait(DEADLINE)
    assert clocked.end() == []


def test_a_drain_leaves_what_waits_to_the_next_run(clocked: Clocked) -> None:
    clocked.give(*answers("a", "text"))
    drain.request_stop()
    assert clocked.end() == []
    clocked.restart()
    drain.reset()
    assert [seen(record) for record in clocked.give(side("a", "text"))] == [whole("a")]


# State

STEPS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(STAGES)) | st.sampled_from([10.0, 150.0, 290.0]), max_size=40
)


def outcomes(steps: list[tuple[str, str] | float], restarts: set[int]) -> list[list[tuple[Any, ...]]]:
    clocked = Clocked()
    told = []
    for number, step in enumerate(steps):
        if number in restarts:
            clocked.restart()
        records = clocked.wait(step) if isinstance(step, float) else clocked.give(side(*step))
        told.append(sorted(map(seen, records)))
    return [*told, sorted(map(seen, clocked.end()))]


@settings(deadline=None)
@given(STEPS, st.sets(st.integers(0, 40)))
def test_a_shard_that_is_restored_goes_on_as_if_it_had_not_stopped(
    steps: list[tuple[str, str] | float], restarts: set[int]
) -> None:
    assert outcomes(steps, restarts) == outcomes(steps, set())


def test_a_deadline_that_passed_between_runs_comes_at_once(clocked: Clocked) -> None:
    clocked.give(*answers("a", "text"))
    clocked.now += 10 * DEADLINE
    clocked.restart()
    assert len(clocked.wait(0)) == 1


def test_a_snapshot_holds_only_plain_values(clocked: Clocked) -> None:
    clocked.give(*answers("a", "text"), *answers("b"))
    clocked.wait(DEADLINE)
    clocked.give(*answers("c", POST), side("d", POST))
    state = clocked.shard.snapshot()
    assert len(state["entries"]) == 3
    assert state["version"] == 4
    assert is_plain(state)


def test_a_snapshot_of_version_1_which_kept_the_post_among_the_sides_is_gone_on_with() -> None:
    old = Clocked()
    old.give(*answers("a", "text"), *answers("b", POST))
    state = old.shard.snapshot()
    entries = []
    for (global_id, _), deadline, is_out, _, fetched, plain in state["entries"]:
        parts = dict(plain)
        if fetched is not None:
            parts[POST] = {"~record": "StageResult", "global_id": global_id, "stage": POST, "value": fetched["post"]}
            parts[POST] |= {"seconds": fetched["seconds"], "model": ""}
        entries.append((global_id, deadline, is_out, parts))
    new = Clocked()
    new.shard = new.made({"version": 1, "entries": entries, "finished": ["c"]})
    assert new.give(*answers("c")) == []
    records = new.give(side("a", "text"), side("b", POST))
    assert sorted(map(seen, records)) == [whole("a"), whole("b")]
    assert {record.fetch_seconds for record in records} == {0.5}


def test_a_snapshot_does_not_change_with_the_shard(clocked: Clocked) -> None:
    clocked.give(side("a", POST))
    state = clocked.shard.snapshot()
    before = pickle.dumps(state)
    clocked.give(*answers("a", POST))
    assert pickle.dumps(state) == before


def test_only_the_last_finished_ids_are_remembered(clocked: Clocked) -> None:
    for number in range(3 * join._REMEMBERED):
        clocked.give(*answers(f"{number}"))
    assert len(clocked.shard.snapshot()["known"]) == join._REMEMBERED
    last, first = range(2 * join._REMEMBERED, 3 * join._REMEMBERED), range(join._REMEMBERED)
    assert not any(clocked.give(*coming(f"{number}", ticket=1)) for number in last)
    assert all(clocked.give(*coming(f"{number}", ticket=1)) for number in first)


def test_a_snapshot_names_no_post_that_went_out_and_one_of_version_3_is_gone_on_with(clocked: Clocked) -> None:
    clocked.give(*answers("a-post"), *coming("failed-post", 1, failed=True))
    state = clocked.shard.snapshot()
    assert b"a-post" not in pickle.dumps(state)
    assert b"failed-post" not in pickle.dumps(state)
    old = {"version": 3, "entries": [], "known": [("a", 1, False, None)], "marked": [], "closed": [("b", 0)]}
    clocked.shard = clocked.made(old)
    assert clocked.give(*coming("a", 1)) == []
    assert clocked.give(*answers("b")) == []
    assert len(clocked.give(*coming("b", 1))) == 1


# Revisions


def coming(
    global_id: str, ticket: int, *, failed: bool = False, tries: int = 0, edited: int | None = None
) -> list[JoinInput]:
    """One arrival of a post with all of its sides."""
    time = None if edited is None else datetime(2026, 1, edited, tzinfo=UTC)
    made = [replace(it, ticket=ticket) for it in sides(global_id).values()]
    if failed:
        made = [replace(it, value=Failure("fetch", "FetchError", "HTTP 503")) for it in made]
    return [Arrival(post(global_id, edited=time), None, 0.5, ticket, tries), *made]


def revisions(records: list[Record]) -> list[tuple[str, int]]:
    return [(it.post.global_id, it.revision) for it in records]


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("tries", [0, 1])
def test_a_post_that_failed_goes_out_again_as_the_next_revision(tries: int, backwards: bool) -> None:
    clocked = Clocked()
    assert revisions(clocked.give(*coming("a", 1, failed=True))) == [("a", 1)]
    again = coming("a", 2, failed=True, tries=tries)
    assert revisions(clocked.give(*(again[::-1] if backwards else again))) == [("a", 2)]
    clocked.restart()
    again = coming("a", 3, tries=2 * tries)
    assert revisions(clocked.give(*(again[::-1] if backwards else again))) == [("a", 3)]
    again = coming("a", 4, tries=3 * tries)
    assert clocked.give(*(again[::-1] if backwards else again)) == []
    assert clocked.waiting() == set()


def test_a_post_that_lacked_a_side_goes_out_again(clocked: Clocked) -> None:
    clocked.give(*answers("a", "text"))
    assert revisions(clocked.wait(DEADLINE + LATE)) == [("a", 1)]
    assert revisions(clocked.give(*coming("a", 2))) == [("a", 2)]


def test_each_late_side_is_a_revision(clocked: Clocked) -> None:
    clocked.give(*answers("a", "text", "cluster"))
    assert revisions(clocked.wait(DEADLINE)) == [("a", 1)]
    assert revisions(clocked.give(side("a", "text"))) == [("a", 2)]
    clocked.restart()
    assert revisions(clocked.give(side("a", "cluster"))) == [("a", 3)]


def test_an_edit_goes_out_where_it_is_newer_than_what_is_known(clocked: Clocked) -> None:
    assert revisions(clocked.give(*coming("a", 1))) == [("a", 1)]
    assert revisions(clocked.give(*coming("a", 2, edited=5))) == [("a", 2)]
    clocked.restart()
    assert clocked.give(*coming("a", 3)) == []
    assert clocked.give(*coming("a", 4, edited=5)) == []
    assert clocked.give(*coming("a", 5, edited=4)) == []
    assert revisions(clocked.give(*coming("a", 6, edited=6))) == [("a", 3)]
    assert clocked.give(*coming("a", 7, edited=7, tries=1)) == [], "it was fetched again for an older reading"


def test_two_comings_at_once_do_not_mix(clocked: Clocked) -> None:
    first, second = coming("a", 1, failed=True), coming("a", 2)
    mixed = [it for pair in zip(first, second, strict=True) for it in pair]
    (record,) = clocked.give(*mixed)
    assert all(isinstance(it.value, Failure) for it in record.results.values())
    assert clocked.waiting() == set()


def test_what_failed_is_known_for_longer_than_what_did_not(clocked: Clocked) -> None:
    clocked.give(*coming("a", 1, failed=True))
    for number in range(3 * join._REMEMBERED):
        clocked.give(*answers(f"{number}"))
    assert revisions(clocked.give(*coming("a", 2))) == [("a", 2)]


def test_what_went_out_before_the_flow_first_ran_has_a_next_revision(clocked: Clocked) -> None:
    clocked.before.update(a=2, b=1)
    given = clocked.give(*coming("a", 1), *coming("b", 2, tries=3), *coming("c", 3))
    assert revisions(given) == [("a", 3), ("b", 2), ("c", 1)]
    clocked.restart()
    assert clocked.give(*coming("a", 4)) == [], "the flow itself knows it now"
    assert revisions(clocked.give(*coming("a", 5, edited=9))) == [("a", 4)]


def test_a_further_try_of_a_forgotten_post_is_no_first_revision(clocked: Clocked) -> None:
    assert revisions(clocked.give(*coming("a", 3, tries=2))) == [("a", 2)]


def test_alarms_of_finished_posts_do_not_pile_up_behind_one_that_waits(clocked: Clocked) -> None:
    clocked.give(side("slow", POST))
    for number in range(3 * join._MAX_FINISHED_ALARMS):
        clocked.give(*answers(f"{number}"))
        clocked.shard.notify_at()
    assert len(clocked.shard._alarms) <= join._MAX_FINISHED_ALARMS + 2
    assert [seen(record)[0] for record in clocked.wait(DEADLINE)] == ["slow"]


def test_posts_are_spread_over_all_shards_and_always_the_same() -> None:
    assert {shard_of(f"{number}-reddit") for number in range(2000)} == {f"{shard:02d}" for shard in range(SHARDS)}
    assert shard_of("18fr14v-reddit") == "26"
    assert shard_of("\U0001f600") == shard_of("\U0001f600")
