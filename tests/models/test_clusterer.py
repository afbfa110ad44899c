"""Online clusters: what a crash must not change, and that groups are told apart."""

import pickle
from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from core.errors import BadRecordError
from core.records import Cluster, Vector
from models.clusterer import Clusterer, FakeClusterer
from models.clusterers.dbstream import DbstreamClusterer
from models.clusterers.rca_clusterer import RcaClusterer
from tests.factories import is_plain

DIMENSION = 32


class Forgetful(DbstreamClusterer):
    """Forgets soon, so that a short test sees it."""

    def __init__(self) -> None:
        super().__init__(cleanup_interval=20, fading_factor=0.01)


class Small(RcaClusterer):
    """Keeps few exemplars, and forgets soon."""

    def __init__(self) -> None:
        super().__init__(capacity=48, half_life=40)


REAL = [DbstreamClusterer, Forgetful, RcaClusterer, Small]


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


@pytest.mark.parametrize("kind", [*REAL, FakeClusterer])
@pytest.mark.parametrize("every", [1, 37])
def test_one_that_is_restored_goes_on_exactly_as_one_that_did_not_stop(kind: type[Clusterer], every: int) -> None:
    embeddings = scattered(300)
    whole, stopped = kind(), kind()
    for number, embedding in enumerate(embeddings):
        if number % every == 0:
            stopped = restored(stopped)
        assert stopped.learn(embedding) == whole.learn(embedding)
        assert stopped.count() == whole.count()
        assert restored(stopped).dimension == whole.dimension
    np.testing.assert_equal(restored(stopped).state(), restored(whole).state())


@pytest.mark.parametrize("kind", REAL)
def test_one_that_learned_nothing_can_be_restored(kind: type[Clusterer]) -> None:
    assert restored(kind()).learn(scattered(1)[0]) == Cluster(0, 0.0)


@pytest.mark.parametrize("kind", [Forgetful, Small])
def test_what_is_not_seen_again_is_forgotten_and_its_id_never_comes_back(kind: type[Clusterer]) -> None:
    clusterer = kind()
    alive: set[int] = set()
    gone: set[int] = set()
    for embedding in scattered(400):
        found = clusterer.learn(embedding).id
        for event in clusterer.events():
            if event.kind == "birth":
                assert event.cluster not in alive | gone
                alive.add(event.cluster)
            else:
                alive.remove(event.cluster)
                gone.add(event.cluster)
                assert event.into is None or event.into in alive
        assert found in alive
        assert clusterer.count() == len(alive)
    assert gone


@pytest.mark.parametrize("kind", REAL)
def test_ids_count_from_nought_without_a_gap(kind: type[Clusterer]) -> None:
    clusterer = kind()
    born = []
    for embedding in scattered(200):
        clusterer.learn(embedding)
        born += [event.cluster for event in clusterer.events() if event.kind == "birth"]
    assert born == list(range(len(born)))


@pytest.mark.parametrize("kind", REAL)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_embedding_that_is_not_finite_fails_and_leaves_no_trace(kind: type[Clusterer], bad: float) -> None:
    first, *others = scattered(50)
    with_bad, without = kind(), kind()
    broken = first.copy()
    broken[3] = bad
    for embedding in others:
        with pytest.raises(BadRecordError, match="not finite"):
            with_bad.learn(broken)
        assert with_bad.learn(embedding) == without.learn(embedding)


@pytest.mark.parametrize("kind", REAL)
def test_an_embedding_of_another_length_fails_and_leaves_no_trace(kind: type[Clusterer]) -> None:
    embeddings = scattered(50)
    with_bad, without = kind(), kind()
    for embedding in embeddings:
        assert with_bad.learn(embedding) == without.learn(embedding)
        with pytest.raises(BadRecordError, match="dimension 31, those before it had 32"):
            with_bad.learn(embedding[:-1])


@pytest.mark.parametrize("kind", REAL)
def test_the_state_is_plain_and_of_a_version(kind: type[Clusterer]) -> None:
    clusterer = kind()
    for embedding in scattered(30):
        clusterer.learn(embedding)
    state = clusterer.state()
    assert state["version"] == 1
    assert is_plain(state)


@pytest.mark.parametrize("kind", REAL)
def test_a_state_does_not_change_with_the_clusterer(kind: type[Clusterer]) -> None:
    clusterer = kind()
    embeddings = scattered(60)
    for embedding in embeddings[:30]:
        clusterer.learn(embedding)
    state = clusterer.state()
    before = pickle.dumps(state)
    for embedding in embeddings[30:]:
        clusterer.learn(embedding)
    assert pickle.dumps(state) == before


@pytest.mark.parametrize("kind", REAL)
def test_a_restored_one_does_not_change_the_state_it_was_given(kind: type[Clusterer]) -> None:
    clusterer = kind()
    embeddings = scattered(60)
    for embedding in embeddings[:30]:
        clusterer.learn(embedding)
    state = clusterer.state()
    before = pickle.dumps(state)
    other = kind()
    other.restore(state)
    for embedding in embeddings[30:]:
        other.learn(embedding)
    assert pickle.dumps(state) == before


def grouped(
    groups: int, count: int, noise: float, dimension: int = DIMENSION, seed: int = 5
) -> tuple[list[Vector], list[int]]:
    """Unit vectors that share a large mean, and the group of each."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(groups, dimension))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    mean = np.zeros(dimension)
    mean[0] = 3.0
    labels = random.integers(groups, size=count)
    return units(mean + centres[labels] + random.normal(size=(count, dimension)) * noise), labels.tolist()


@pytest.mark.parametrize("kind", [DbstreamClusterer, RcaClusterer])
def test_groups_that_share_a_large_mean_are_told_apart(kind: type[Clusterer]) -> None:
    embeddings, labels = grouped(8, 400, 0.03, dimension=128)
    clusterer = kind()
    found = [clusterer.learn(embedding).id for embedding in embeddings]
    pairs = Counter(zip(labels[100:], found[100:], strict=True))  # at first the mean is not known
    assert len(pairs) == 8
    assert len({cluster for _, cluster in pairs}) == 8


@pytest.mark.parametrize("kind", REAL)
def test_the_distance_is_small_where_it_has_been_before(kind: type[Clusterer]) -> None:
    clusterer = kind()
    embeddings = scattered(40)
    for embedding in embeddings * 2:
        clusterer.learn(embedding)
    distances = [clusterer.learn(embedding).distance for embedding in embeddings]
    assert all(0 <= distance < 1 for distance in distances)  # 1 is that of what has nothing in common


@pytest.mark.parametrize("kind", REAL)
def test_embeddings_that_are_all_the_same_are_one_cluster(kind: type[Clusterer]) -> None:
    clusterer = kind()
    embedding = scattered(1)[0]
    for _ in range(50):
        found = clusterer.learn(embedding)
    assert clusterer.count() == 1
    assert found.id == 0
