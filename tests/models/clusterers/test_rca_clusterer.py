"""What the default clusterer does that others do not: it learns how to compare, mends itself by merges, stays small."""

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from core.errors import SettingsError
from core.merges import Merges
from core.records import ClusterEvent, Vector
from dataflows.all_settings import load_settings
from models.clusterers.choice import make_clusterer
from models.clusterers.dbstream import DbstreamClusterer
from models.clusterers.exemplars import Exemplars
from models.clusterers.linkage import average_linkage, group_sums
from models.clusterers.rca_clusterer import RcaClusterer
from models.clusterers.whitening_transform import fit_class_whitening
from tests.models.test_clusterer import grouped, scattered, units


def captioned(count: int, seed: int) -> tuple[list[Vector], list[int]]:
    """Forty groups whose members differ, most of all in five directions that all groups have in common."""
    random = np.random.default_rng(seed)
    labels = random.integers(40, size=count)
    groups, directions = random.normal(size=(40, 64)), random.normal(size=(5, 64))
    nuisance = random.normal(size=(count, 5)) @ directions
    points = 4 * np.eye(64)[0] + groups[labels] * 0.3 + 0.25 * nuisance + random.normal(size=(count, 64)) * 0.05
    return units(points), labels.tolist()


def outcome(embeddings: list[Vector], **parameters: Any) -> tuple[list[int], list[int]]:
    """Clusters on arrival, and what they are called in the end."""
    clusterer, resolved = RcaClusterer(**parameters), Merges()
    arrival = []
    for embedding in embeddings:
        arrival.append(clusterer.learn(embedding).id)
        resolved.add(clusterer.events())
    return arrival, [resolved.resolve(cluster) for cluster in arrival]


@pytest.mark.parametrize("seed", range(2))
def test_it_learns_what_members_of_a_cluster_differ_by(seed: int) -> None:
    embeddings, labels = captioned(400, seed)
    _, taught = outcome(embeddings)
    _, assumed = outcome(embeddings, prior=1e9)
    assert adjusted_rand_score(labels, taught) > 0.75
    assert adjusted_rand_score(labels, assumed) < 0.2


def test_until_pairs_are_known_what_all_differ_by_counts_less() -> None:
    scale = np.where(np.arange(16) == 0, 20.0, 1.0)
    embeddings = (np.random.default_rng(5).normal(size=(60, 16)) * scale).astype(np.float32)
    alone = fit_class_whitening(embeddings, np.arange(60), np.ones(60, np.int64), prior=25)
    counts = np.linalg.norm(alone.matrix, axis=1)
    assert counts[0] < 0.8 * counts[1:].min()


def test_a_merge_mends_what_was_told_apart_at_the_start() -> None:
    embeddings, labels = captioned(500, 4)
    arrival, final = outcome(embeddings)
    assert set(final) < set(arrival)
    assert adjusted_rand_score(labels, final) > adjusted_rand_score(labels, arrival)


def test_the_older_id_stays() -> None:
    clusterer = RcaClusterer()
    told: list[ClusterEvent] = []
    for embedding in captioned(300, 1)[0]:
        clusterer.learn(embedding)
        told += clusterer.events()
    joined = [(event.cluster, event.into) for event in told if event.into is not None]
    assert joined
    assert all(into < cluster for cluster, into in joined)


def test_a_cluster_that_is_merged_as_its_post_arrives_is_told_by_its_new_name() -> None:
    clusterer, resolved = RcaClusterer(), Merges()
    for embedding in captioned(300, 1)[0]:
        found = clusterer.learn(embedding).id
        resolved.add(clusterer.events())
        assert resolved.resolve(found) == found


def test_memory_is_bounded_and_the_rare_outlive_the_many() -> None:
    embeddings, labels = grouped(20, 1500, 0.05, dimension=128)
    rare = [place for place, label in enumerate(labels) if label < 5]
    thinned = [it for place, it in enumerate(embeddings) if labels[place] >= 5 or place in rare[:: len(rare) // 60]]
    clusterer = RcaClusterer(capacity=120, absorb=2)
    for embedding in thinned:
        clusterer.learn(embedding)
    state = clusterer.state()["exemplars"]
    assert len(state["embeddings"]) <= 120
    assert clusterer.count() == 20


def test_events_are_told_once_and_survive_a_snapshot() -> None:
    clusterer = RcaClusterer()
    for embedding in scattered(40):
        clusterer.learn(embedding)
    other = RcaClusterer()
    other.restore(pickle.loads(pickle.dumps(clusterer.state())))
    told = clusterer.events()
    assert told
    assert other.events() == told
    assert clusterer.events() == []


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 40), st.integers(0, 10**6))
def test_average_linkage_is_that_of_scipy(count: int, seed: int) -> None:
    from scipy.cluster.hierarchy import fcluster, linkage

    random = np.random.default_rng(seed)
    points = np.array(units(random.normal(size=(count, 6))))
    slots = np.arange(count)
    sums = group_sums(points, slots, count)
    least = float(random.uniform(-0.5, 0.9))
    names = list(range(count))
    for stays, goes in average_linkage(sums, np.ones(count, np.int64), least):
        names = [stays if name == goes else name for name in names]
    apart = 1 - points.astype(np.float64) @ points.T
    tree = linkage(apart[np.triu_indices(count, 1)].clip(0), "average")
    assert adjusted_rand_score(names, fcluster(tree, 1 - least, "distance")) == pytest.approx(1)


def test_exemplars_know_their_clusters_after_names_and_rows_change() -> None:
    kept = Exemplars(2)
    for number, cluster in enumerate([0, 1, 1, 2, 3, 3]):
        kept.add(np.array([number, 1], np.float32), cluster, number)
    kept.rename(3, 1)
    assert kept.ids[kept.slots].tolist() == [0, 1, 1, 2, 1, 1]
    assert kept.retain(np.array([False, True, False, True, True, True])) == [0]
    assert kept.ids[kept.slots].tolist() == [1, 2, 1, 1]
    assert kept.sizes.tolist() == [3, 1]
    assert kept.embeddings[:, 0].tolist() == [1, 3, 4, 5]


def test_yesterday_s_state_of_dbstream_is_read() -> None:
    """As it was written before DBSTREAM was on arrays: keys, rows and numbers as lists."""
    embeddings = scattered(120)
    clusterer = DbstreamClusterer()
    for embedding in embeddings[:80]:
        clusterer.learn(embedding)
    state = clusterer.state()
    written = {name: state[name] for name in state if name != "centres"}
    other = DbstreamClusterer()
    other.restore({**written, "centres": state["centres"].tolist()})
    assert [other.learn(it) for it in embeddings[80:]] == [clusterer.learn(it) for it in embeddings[80:]]


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("relevant", {"join": 0.4}),
        ("dbstream", {"clustering_threshold": 0.5}),
        ("river-dbstream", {"clustering_threshold": 0.9, "fading_factor": 0.001}),
        ("river-denstream", {"n_samples_init": 20, "epsilon": 0.5}),
        ("river-clustream", {"n_macro_clusters": 4, "max_micro_clusters": 20, "seed": 1}),
        ("river-kmeans", {"n_clusters": 4, "seed": 1}),
        ("river-streamkmeans", {"n_clusters": 4, "chunk_size": 10, "seed": 1}),
    ],
)
def test_each_can_be_chosen_by_name_with_parameters_and_recovers(name: str, parameters: dict[str, float]) -> None:
    chosen = load_settings(clusterer=name, clusterer_parameters=parameters)
    whole, stopped = make_clusterer(chosen), make_clusterer(chosen)
    for number, embedding in enumerate(grouped(4, 90, 0.05)[0]):
        if number % 30 == 20:
            state = pickle.dumps(stopped.state())
            stopped = make_clusterer(chosen)
            stopped.restore(pickle.loads(state))
        assert stopped.learn(embedding) == whole.learn(embedding)
    assert stopped.name == name
    assert stopped.count() == whole.count() >= 1


@pytest.mark.parametrize("name", ["relevant", "dbstream", "river-kmeans"])
def test_a_parameter_that_does_not_exist_is_an_error_of_the_settings(name: str) -> None:
    with pytest.raises(SettingsError, match="nonsense"):
        make_clusterer(load_settings(clusterer=name, clusterer_parameters={"nonsense": 1}))
