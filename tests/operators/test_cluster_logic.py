"""Clustering as a step: one side for every embedding, and a state that goes on."""

import pickle
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from prometheus_client import REGISTRY

from core.errors import SettingsError
from core.records import Cluster, ClusterEvent, Failure, Removal, StageResult, Vector
from dataflows.all_settings import load_settings
from models.clusterer import NO_CONTEXT, Clusterer, FakeClusterer, ImageContext
from models.clusterers.choice import make_shard
from models.clusterers.rca_clusterer import RcaClusterer
from models.fingerprint import fingerprint
from operators import cluster_logic as cluster
from operators.cluster_logic import ClusterLogic
from operators.clustering import events_in
from tests.factories import is_plain, make_removal
from tests.models.test_clusterer import scattered

TIME = datetime(2026, 7, 2, tzinfo=UTC)


class Counting(Clusterer):
    """A new cluster for everything it learns."""

    name = "counting"

    def __init__(self) -> None:
        self.learned = 0

    def learn(self, embedding: Vector, context: ImageContext = NO_CONTEXT, *, cluster: int | None = None) -> Cluster:
        if embedding[0] < 0:
            raise ValueError("below nought")
        self.learned += 1
        return Cluster(self.learned, float(embedding[0]))

    def predict(self, embedding: Vector, context: ImageContext = NO_CONTEXT) -> int | None:
        return None

    def count(self) -> int:
        return self.learned

    @property
    def dimension(self) -> int | None:
        return 1 if self.learned else None

    def state(self) -> dict[str, Any]:
        return {"version": 1, "algorithm": self.name, "learned": self.learned}

    def restore(self, state: dict[str, Any]) -> None:
        self.learned = state["learned"]


def embedded(global_id: str, value: Vector | Failure | None, fingerprint: bytes | None = None) -> StageResult[Vector]:
    return StageResult(global_id, "embedding", value, 0.1, "a model", fingerprint)


def one(number: float = 1.0) -> Vector:
    return np.array([number], np.float32)


def given(logic: ClusterLogic, *values: StageResult[Vector]) -> list[Any]:
    answers, discard = logic.on_batch(list(values))
    assert not discard
    sides = [it for it in answers if isinstance(it, StageResult)]
    assert [side.global_id for side in sides] == [value.global_id for value in values]
    assert {side.stage for side in sides} <= {"cluster"}
    return [side.value for side in sides]


def restarted(logic: ClusterLogic, clusterer: Clusterer) -> ClusterLogic:
    return ClusterLogic(clusterer, pickle.loads(pickle.dumps(logic.snapshot())))


def test_each_embedding_gets_its_cluster() -> None:
    logic = ClusterLogic(Counting())
    assert given(logic, embedded("a", one()), embedded("b", one(0.5))) == [Cluster(1, 1.0), Cluster(2, 0.5)]


def test_a_side_says_who_answered_and_how_long_it_took() -> None:
    ((side,), _) = ClusterLogic(Counting()).on_batch([embedded("a", one())])
    assert isinstance(side, StageResult)
    assert side.model == "counting"
    assert side.seconds > 0


def test_a_failed_embedding_is_passed_on_and_not_learned() -> None:
    clusterer = Counting()
    failed = Failure("fetch", "OSError", "no")
    assert given(ClusterLogic(clusterer), embedded("a", failed), embedded("b", None)) == [failed, None]
    assert clusterer.learned == 0


def test_a_bad_embedding_fails_alone() -> None:
    values = [embedded("a", one()), embedded("b", one(-1)), embedded("c", one())]
    first, bad, last = given(ClusterLogic(Counting()), *values)
    assert bad == Failure("cluster", "ValueError", "below nought")
    assert (first.id, last.id) == (1, 2)


@pytest.mark.parametrize("batches", [1, 2])
@pytest.mark.parametrize("with_restart", [True, False])
def test_a_post_that_comes_again_keeps_its_cluster_and_is_not_learned_again(batches: int, with_restart: bool) -> None:
    clusterer = Counting()
    logic = ClusterLogic(clusterer)
    found = given(logic, *[embedded("a", one())] * (3 - batches))
    if with_restart:
        clusterer = Counting()
        logic = restarted(logic, clusterer)
    found += given(logic, embedded("b", one()), embedded("a", one()))
    assert found[0] == found[-1] == Cluster(1, 1.0)
    assert clusterer.learned == 2


def test_a_post_whose_embedding_failed_may_succeed_when_it_comes_again() -> None:
    logic = ClusterLogic(Counting())
    given(logic, embedded("a", one(-1)))
    assert given(logic, embedded("a", one())) == [Cluster(1, 1.0)]


def test_only_the_last_ids_are_remembered() -> None:
    logic = ClusterLogic(Counting())
    given(logic, *(embedded(f"{number}", one()) for number in range(cluster.REMEMBERED + 3)))
    recent = logic.snapshot()["recent"]
    assert len(recent) == cluster.REMEMBERED
    assert min(map(int, recent)) == 3


def test_a_restored_step_goes_on_exactly_as_one_that_did_not_stop() -> None:
    whole, stopped = ClusterLogic(RcaClusterer()), ClusterLogic(RcaClusterer())
    for number, embedding in enumerate(scattered(120)):
        value = embedded(f"{number % 100}", embedding)
        stopped = restarted(stopped, RcaClusterer())
        assert given(stopped, value) == given(whole, value)


def test_a_snapshot_holds_only_plain_values() -> None:
    logic = ClusterLogic(RcaClusterer())
    given(logic, *(embedded(f"{number}", it) for number, it in enumerate(scattered(20))))
    state = logic.snapshot()
    assert state["version"] == 4
    assert is_plain(state)


def test_a_snapshot_does_not_change_with_the_step() -> None:
    logic = ClusterLogic(Counting())
    state = logic.snapshot()
    given(logic, embedded("a", one()))
    assert state["recent"] == {}


def test_the_clusters_of_another_algorithm_are_refused() -> None:
    state = ClusterLogic(FakeClusterer()).snapshot()
    with pytest.raises(SettingsError, match="clusters of fake, not of relevant: set MEMEWAX_CLUSTERER=fake"):
        ClusterLogic(RcaClusterer(), state)


@pytest.mark.parametrize(("before", "now"), [(1, 4), (4, 1), (2, 4), (4, 2)])
def test_the_clusters_of_another_number_of_shards_are_refused(before: int, now: int) -> None:
    state = ClusterLogic(Counting(), shards=before).snapshot()
    made_by = f"made by {before} shards?, not by {now}: set MEMEWAX_CLUSTER_SHARDS={before}"
    with pytest.raises(SettingsError, match=made_by):
        ClusterLogic(Counting(), state, shards=now)
    assert ClusterLogic(Counting(), state, shards=before).snapshot()["shards"] == before


def test_the_clusters_of_embeddings_of_other_numbers_are_refused() -> None:
    logic = ClusterLogic(Counting())
    ClusterLogic(Counting(), logic.snapshot(), dimension=8)  # it has learned none yet
    given(logic, embedded("a", one()))
    with pytest.raises(
        SettingsError, match=r"embeddings of 8 numbers, but the clusters .* from embeddings of 1: set MEMEWAX_VIT"
    ):
        ClusterLogic(Counting(), logic.snapshot(), dimension=8)
    assert given(ClusterLogic(Counting(), logic.snapshot(), dimension=1), embedded("b", one())) == [Cluster(2, 1.0)]


def before_shards_were_noted(state: dict[str, Any]) -> dict[str, Any]:
    return {**{name: state[name] for name in state if name != "shards"}, "version": 2}


def test_a_state_that_did_not_note_shards_is_read_where_there_were_none() -> None:
    state = before_shards_were_noted(ClusterLogic(RcaClusterer()).snapshot())
    ClusterLogic(RcaClusterer(), state)
    with pytest.raises(SettingsError, match="made by 1 shard, not by 4"):
        ClusterLogic(RcaClusterer(), state, shards=4)


def test_a_state_of_shards_that_did_not_note_how_many_is_read_by_shards_alone() -> None:
    of_one = make_shard(load_settings(cluster_shards=4, clusterer="relevant"))
    state = before_shards_were_noted(ClusterLogic(of_one, shards=4).snapshot())
    assert ClusterLogic(RcaClusterer(), state, shards=4).snapshot()["shards"] == 4
    with pytest.raises(SettingsError, match="not of one: set MEMEWAX_CLUSTER_SHARDS to its former value"):
        ClusterLogic(RcaClusterer(), state, shards=1)


def test_what_becomes_of_clusters_follows_the_sides_once() -> None:
    logic = ClusterLogic(RcaClusterer())
    answers, _ = logic.on_batch([embedded(f"{number}", it) for number, it in enumerate(scattered(3))])
    assert answers[3:] == [ClusterEvent("birth", number) for number in range(3)]
    again, _ = logic.on_batch([embedded("0", scattered(1)[0])])
    assert len(again) == 1


@pytest.mark.parametrize("with_restart", [True, False])
def test_a_copy_says_of_which_post_it_is_one(with_restart: bool) -> None:
    logic = ClusterLogic(Counting())
    plain = bytes(288)
    few, far = bytes(31) + b"\x07" + bytes(256), bytes(16) + b"\xff" * 16 + bytes(256)
    found = given(logic, embedded("a", one(), plain), embedded("b", one(), few), embedded("c", one(), far))
    if with_restart:
        logic = restarted(logic, Counting())
    found += given(logic, embedded("d", one(), far), embedded("b", one(), few), embedded("e", one(), None))
    assert [it.duplicate_of for it in found] == [None, "a", None, "c", "a", None]


class Remembering(Counting):
    """Notes what it is to forget."""

    def __init__(self) -> None:
        super().__init__()
        self.forgotten: list[str] = []

    def forget_posts(self, posts: Collection[str]) -> None:
        self.forgotten += posts

    def forget_author(self, author: str) -> None:
        self.forgotten.append(author)

    def forget_urls(self, urls: Collection[str]) -> None:
        self.forgotten += urls


@pytest.mark.parametrize("with_restart", [True, False])
@pytest.mark.parametrize(
    "removal",
    [
        make_removal(post_id="p-a", time=TIME),
        make_removal(author="ann", source="a", time=TIME),
        make_removal(url="p.png", time=TIME),
    ],
)
def test_what_is_taken_back_is_no_original_and_is_not_learned_again(removal: Removal, with_restart: bool) -> None:
    def post(global_id: str, fingerprint: bytes | None = None, day: int = 1) -> StageResult[Vector]:
        side = embedded(global_id, one(), fingerprint)
        return replace(side, author="ann@a", url="p.png", post_id="p-a", changed=TIME.replace(day=day))

    clusterer = Remembering()
    logic = ClusterLogic(clusterer)
    look, other = bytes(288), bytes(16) + b"\xff" * 16 + bytes(256)
    given(logic, post("p_1-a", look), embedded("b", one(), other))
    logic.on_batch([removal])
    assert ("p_1-a" in clusterer.forgotten) is bool(removal.post_id)
    assert ("ann@a" in clusterer.forgotten) is bool(removal.author)
    assert ("p.png" in clusterer.forgotten) is bool(removal.url)
    if with_restart:
        logic = restarted(logic, clusterer)
    first, late, copy, new = given(
        logic, embedded("c", one(), look), post("p_2-a"), embedded("d", one(), other), post("p_1-a", day=3)
    )
    assert first.duplicate_of is None
    assert late is None  # as where an image has no embedding
    assert copy.duplicate_of == "b"
    assert new is not None  # written after the delete


def test_a_hidden_account_keeps_its_clusters() -> None:
    clusterer = Remembering()
    logic = ClusterLogic(clusterer)
    given(logic, replace(embedded("a", one()), author="ann@a"))
    logic.on_batch([make_removal(author="ann", source="a", hidden=True)])
    assert clusterer.forgotten == []
    assert given(logic, replace(embedded("a", one()), author="ann@a")) == [Cluster(1, 1.0)]


def test_a_state_that_knew_no_copies_is_read() -> None:
    state = ClusterLogic(Counting()).snapshot()
    del state["duplicates"]
    logic = ClusterLogic(Counting(), {**state, "version": 1, "recent": {"a": (7, 0.5)}})
    assert given(logic, embedded("a", one(), bytes(288))) == [Cluster(7, 0.5)]


def test_what_becomes_of_clusters_is_counted() -> None:
    def counted(kind: str) -> float:
        return REGISTRY.get_sample_value("memewax_cluster_events_total", {"kind": kind}) or 0.0

    before = counted("birth"), counted("merge")
    told: list[tuple[str, Any]] = [("all", ClusterEvent("birth", 1)), ("all", ClusterEvent("merge", 2, 1))]
    assert events_in([*told, ("all", StageResult("a", "cluster", Cluster(1, 0.0)))]) == [event for _, event in told]
    assert (counted("birth"), counted("merge")) == (before[0] + 1, before[1] + 1)


@pytest.mark.parametrize("restart", [False, True])
def test_a_post_that_is_edited_to_another_image_is_learned_anew(restart: bool) -> None:
    random = np.random.default_rng(5)
    looks = [fingerprint(random.integers(0, 256, (64, 64, 3)).astype(np.uint8)) for _ in range(2)]
    logic = ClusterLogic(Counting())

    def seen(number: int, edited: int | None) -> StageResult[Vector]:
        when = None if edited is None else TIME + timedelta(hours=edited)
        return replace(embedded("a", one(), looks[number]), edited=when)

    first, again, same = given(logic, seen(0, None), seen(1, None), seen(0, 1))
    assert first == again == same  # no edit says so, or the image is the same
    if restart:
        logic = restarted(logic, Counting())
    old, other, stale, new = given(logic, seen(1, 1), seen(1, 2), seen(0, 1), seen(1, 3))
    assert old == first
    assert other.id != first.id
    assert stale == new == other
    (copy,) = given(logic, embedded("b", one(), looks[0]))
    assert copy.duplicate_of is None  # that image is nobody's any more
    (copy,) = given(logic, embedded("c", one(), looks[1]))
    assert copy.duplicate_of == "a"
