"""Shards learn side by side and agree: as good as one, whatever crashes."""

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource, run_main
from sklearn.metrics import v_measure_score

from core.errors import SettingsError
from core.merges import Merges
from core.records import Cluster, ClusterEvent, Failure, Removal, StageResult, Vector
from dataflows.all_settings import load_settings
from models.clusterers.choice import make_clusterer, make_shard, make_shard_merger
from models.clusterers.rca_clusterer import RcaClusterer
from models.clusterers.shard_merger import ShardMerger
from operators.clustering import cluster
from operators.shard_logic import ShardLogic, ShardMergerLogic
from tests.factories import is_plain, message
from tests.models.clusterers.test_rca_clusterer import captioned

SETTINGS = load_settings(cluster_shards=4, clusterer="relevant")


def embedded(count: int = 400, seed: int = 1) -> tuple[list[StageResult[Vector]], list[int]]:
    embeddings, labels = captioned(count, seed)
    return [StageResult(f"{number}-reddit", "embedding", it) for number, it in enumerate(embeddings)], labels


def run(
    values: list[StageResult[Vector]], settings: Any = SETTINGS, gone: list[Removal] | None = None
) -> tuple[dict[str, Any], list[ClusterEvent]]:
    """What the flow makes of embeddings, eight at a time."""
    flow = Dataflow("shards")
    sides: list[StageResult[Cluster]] = []
    events: list[ClusterEvent] = []
    stream = op.input("in", flow, TestingSource(values, batch_size=8))
    none: list[Removal] = []
    removals = op.input("removals", flow, TestingSource(none if gone is None else gone))
    found = cluster("cluster", stream, removals, settings, lambda: make_clusterer(settings))
    op.output("sides", found.results, TestingSink(sides))
    op.output("events", found.events, TestingSink(events))
    run_main(flow)
    return {side.global_id: side.value for side in sides}, events


def final(values: list[StageResult[Vector]], settings: Any) -> list[int]:
    found, events = run(values, settings)
    merges = Merges(events)
    return [merges.resolve(found[value.global_id].id) for value in values]


@pytest.mark.parametrize("seed", range(2))
def test_four_shards_are_as_good_as_one(seed: int) -> None:
    values, labels = embedded(600, seed)
    one, four = (
        v_measure_score(labels, final(values, load_settings(cluster_shards=it, clusterer="relevant"))) for it in (1, 4)
    )
    assert four >= one - 0.02


def test_every_post_is_answered_once_and_failures_are_passed_on() -> None:
    values, _ = embedded(40)
    failed = Failure("embedding", "ValueError", "no")
    values += [StageResult("bad", "embedding", failed), StageResult("none", "embedding", None)]
    found, _ = run(values)
    assert found.keys() == {value.global_id for value in values}
    assert (found["bad"], found["none"]) == (failed, None)


def test_copies_are_found_across_shards() -> None:
    values, _ = embedded(20)
    prints = [replace(value, fingerprint=bytes(288)) for value in values]
    found, _ = run(prints)
    assert sum(it.duplicate_of is None for it in found.values()) == 1


def test_a_post_that_comes_again_keeps_its_cluster() -> None:
    values, _ = embedded(60)
    once, _ = run(values)
    twice, events = run(values + values)
    merges = Merges(events)
    assert {key: merges.resolve(it.id) for key, it in once.items()} == {key: merges.resolve(it.id) for key, it in twice.items()}  # fmt: skip


def test_steps_that_are_restored_after_every_batch_go_on_as_those_that_did_not_stop() -> None:
    values, _ = embedded(200)
    whole, stopped = steps(), steps()
    for place in range(0, len(values), 5):
        assert answers(whole, values[place : place + 5]) == answers(stopped, values[place : place + 5])
        stopped = restored(stopped)


Steps = tuple[list[ShardLogic], ShardMergerLogic]


def steps() -> Steps:
    return [ShardLogic(make_shard(SETTINGS), 1) for _ in range(2)], ShardMergerLogic(make_shard_merger(SETTINGS))


def restored(logics: Steps) -> Steps:
    states = pickle.loads(pickle.dumps([it.snapshot() for it in (*logics[0], logics[1])]))
    assert is_plain(states)
    shards = [ShardLogic(make_shard(SETTINGS), 1, state) for state in states[:-1]]
    return shards, ShardMergerLogic(make_shard_merger(SETTINGS), states[-1])


def answers(logics: Steps, values: list[StageResult[Vector]]) -> list[Any]:
    told = [it for number, shard in enumerate(logics[0]) for it in shard.on_batch([(number, it) for it in values])[0]]
    return [answer.value if isinstance(answer, StageResult) else answer for answer in logics[1].on_batch(told)[0]]


def test_what_a_shard_merges_is_merged_for_all() -> None:
    merger = ShardMerger(RcaClusterer())
    one, other, third = np.eye(3, dtype=np.float32)
    ids = [merger.learn(0, Cluster(own, 0.0), it).id for own, it in enumerate((one, other, third))]
    merger.events()
    merger.apply(0, ClusterEvent("merge", 2, 0))
    assert merger.events() == [ClusterEvent("merge", ids[2], ids[0])]
    assert merger.learn(0, Cluster(0, 0.0), one).id == ids[0]
    assert merger.count() == 2


def test_other_clusterers_have_no_shards() -> None:
    with pytest.raises(SettingsError, match="dbstream cannot be sharded"):
        run([], load_settings(cluster_shards=2, clusterer="dbstream"))


@pytest.mark.parametrize("shards", [1, 4])
def test_what_is_taken_back_before_it_comes_has_no_cluster(shards: int) -> None:
    values, _ = embedded(40)
    values = [replace(it, post_id=it.global_id) for it in values]
    settings = load_settings(cluster_shards=shards, clusterer="relevant")
    found, _ = run(values, settings, [Removal(message({}), post_id="39-reddit")])
    assert [name for name, value in found.items() if value is None] == ["39-reddit"]
