"""Online clusters: what a crash must not change, and that groups are told apart."""

import pickle
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from memewax.errors import BadRecordError
from memewax.records import Cluster, Vector
from models.clusterer import Clusterer, DbstreamClusterer, StandInClusterer
from tests.test_plain import is_plain

DIMENSION = 32


class Forgetful(DbstreamClusterer):
    """Forgets soon, so that a short test sees it."""

    _CLEANUP = 20  # type: ignore[misc]
    _FADING = 0.01  # type: ignore[misc]


def scattered(count: int, seed: int = 3) -> list[Vector]:
    """Unit vectors, some near to others and many alone."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(12, DIMENSION))
    points = centres[random.integers(12, size=count)] + random.normal(size=(count, DIMENSION)) * random.choice(
        [0.2, 1.5], (count, 1)
    )
    return units(points)


def units(points: NDArray[np.float64]) -> list[Vector]:
    return list((points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32))


def restored(clusterer: Clusterer) -> Clusterer:
    """Another one, from what a recovery store would hold."""
    other = type(clusterer)()
    other.restore(pickle.loads(pickle.dumps(clusterer.state())))
    return other


@pytest.mark.parametrize("kind", [DbstreamClusterer, Forgetful, StandInClusterer])
@pytest.mark.parametrize("every", [1, 37])
def test_one_that_is_restored_goes_on_exactly_as_one_that_did_not_stop(kind: type[Clusterer], every: int) -> None:
    embeddings = scattered(300)
    whole, stopped = kind(), kind()
    for number, embedding in enumerate(embeddings):
        if number % every == 0:
            stopped = restored(stopped)
        assert stopped.learn(embedding) == whole.learn(embedding)
        assert stopped.count() == whole.count()
    assert pickle.dumps(restored(stopped).state()) == pickle.dumps(restored(whole).state())


def test_one_that_learned_nothing_can_be_restored() -> None:
    assert restored(DbstreamClusterer()).learn(scattered(1)[0]) == Cluster(0, 0.0)


def test_what_is_not_seen_again_is_forgotten() -> None:
    clusterer = Forgetful()
    counts = []
    for embedding in scattered(400):
        clusterer.learn(embedding)
        counts.append(clusterer.count())
    assert any(after < before for before, after in pairwise(counts))


def test_the_id_of_a_forgotten_cluster_never_comes_back() -> None:
    clusterer = Forgetful()
    alive: set[int] = set()
    gone: set[int] = set()
    for embedding in scattered(400):
        found = clusterer.learn(embedding).id
        assert found not in gone
        now = set(clusterer._ids.values())
        gone |= alive - now
        alive = now
    assert gone


def test_ids_count_from_nought_without_a_gap() -> None:
    clusterer = Forgetful()
    ids = {clusterer.learn(embedding).id for embedding in scattered(200)}
    assert ids == set(range(len(ids)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_embedding_that_is_not_finite_fails_and_leaves_no_trace(bad: float) -> None:
    first, *others = scattered(50)
    with_bad, without = DbstreamClusterer(), DbstreamClusterer()
    broken = first.copy()
    broken[3] = bad
    for embedding in others:
        with pytest.raises(BadRecordError, match="not finite"):
            with_bad.learn(broken)
        assert with_bad.learn(embedding) == without.learn(embedding)


def test_an_embedding_of_another_length_fails_and_leaves_no_trace() -> None:
    embeddings = scattered(50)
    with_bad, without = DbstreamClusterer(), DbstreamClusterer()
    for embedding in embeddings:
        assert with_bad.learn(embedding) == without.learn(embedding)
        with pytest.raises(BadRecordError, match="31 numbers, those before it had 32"):
            with_bad.learn(embedding[:-1])


def test_the_state_is_plain_and_of_a_version() -> None:
    clusterer = DbstreamClusterer()
    for embedding in scattered(30):
        clusterer.learn(embedding)
    state = clusterer.state()
    assert state["version"] == 1
    assert is_plain(state)


def test_a_state_does_not_change_with_the_clusterer() -> None:
    clusterer = DbstreamClusterer()
    embeddings = scattered(60)
    for embedding in embeddings[:30]:
        clusterer.learn(embedding)
    state = clusterer.state()
    before = pickle.dumps(state)
    for embedding in embeddings[30:]:
        clusterer.learn(embedding)
    assert pickle.dumps(state) == before


def test_a_restored_one_does_not_change_the_state_it_was_given() -> None:
    clusterer = DbstreamClusterer()
    embeddings = scattered(60)
    for embedding in embeddings[:30]:
        clusterer.learn(embedding)
    state = clusterer.state()
    before = pickle.dumps(state)
    other = DbstreamClusterer()
    other.restore(state)
    for embedding in embeddings[30:]:
        other.learn(embedding)
    assert pickle.dumps(state) == before


def test_groups_that_share_a_large_mean_are_told_apart() -> None:
    random = np.random.default_rng(5)
    groups = random.normal(size=(8, DIMENSION))
    groups /= np.linalg.norm(groups, axis=1, keepdims=True)
    mean = np.zeros(DIMENSION)
    mean[0] = 3.0
    labels = random.integers(8, size=400)
    points = mean + groups[labels] + random.normal(size=(400, DIMENSION)) * 0.05
    clusterer = DbstreamClusterer()
    found = [clusterer.learn(embedding).id for embedding in units(points)]
    pairs = Counter(zip(labels[100:].tolist(), found[100:], strict=True))  # at first the mean is not known
    assert len(pairs) == 8
    assert len({cluster for _, cluster in pairs}) == 8


def test_the_distance_is_small_where_it_has_been_before() -> None:
    clusterer = DbstreamClusterer()
    embeddings = scattered(40)
    for embedding in embeddings * 2:
        clusterer.learn(embedding)
    distances = [clusterer.learn(embedding).distance for embedding in embeddings]
    assert all(0 <= distance <= 2 for distance in distances)


def test_embeddings_that_are_all_the_same_are_one_cluster() -> None:
    clusterer = DbstreamClusterer()
    embedding = scattered(1)[0]
    for _ in range(50):
        found = clusterer.learn(embedding)
    assert clusterer.count() == 1
    assert found.id == 0
