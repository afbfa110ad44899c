from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, v_measure_score

from core.errors import WorldError
from core.records import Cluster, ClusterEvent, Vector
from dataflows.all_settings import Settings
from memewax.evaluation.data import posts_of
from memewax.evaluation.embedded_posts import EmbeddedPosts, embed
from memewax.evaluation.eval_clusters import agreement, birch, online, oracle, report
from memewax.evaluation.progress_bar import Steps
from models.clusterer import NO_CONTEXT, Clusterer, FakeClusterer, ImageContext
from models.fake_models import FakeImage
from tests.evaluation.conftest import write_posts

SIZES = (30, 20, 12)


@pytest.fixture
def blobs() -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around a few directions, with a large mean that they share; and which direction each is of."""
    random = np.random.default_rng(2)
    truth = random.permutation(np.repeat(np.arange(len(SIZES)), SIZES))
    directions = random.normal(size=(len(SIZES), 96))
    points = 40 * np.ones(96) + 4 * directions[truth] + 0.5 * random.normal(size=(len(truth), 96))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32), truth


def test_the_oracle_finds_what_is_there_and_birch_sees_only_the_mean(blobs: tuple[np.ndarray, np.ndarray]) -> None:
    vectors, truth = blobs
    everything = np.arange(len(truth))
    assert agreement(truth, oracle(vectors, len(SIZES)), everything)["ari"] == pytest.approx(1)
    assert set(birch(vectors).tolist()) == {0}
    found = agreement(truth, birch(vectors), everything)
    assert (found["v_measure"], found["ari"], found["nmi"]) == (0, 0, 0)
    assert found["purity"] == pytest.approx(max(SIZES) / sum(SIZES))


def test_measures_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(3)
    for clusters in (1, 2, 9, 60):
        truth, labels = random.integers(0, 5, 60), random.integers(0, clusters, 60)
        found = agreement(truth, labels, np.arange(60))
        assert found["v_measure"] == pytest.approx(v_measure_score(truth, labels), abs=1e-9)
        assert found["ari"] == pytest.approx(adjusted_rand_score(truth, labels), abs=1e-9)
        expected = normalized_mutual_info_score(truth, labels, average_method="geometric")
        assert found["nmi"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("labels", [[0, 0, 0], [0, 1, 2], [5, 5, 7]])
def test_a_partition_agrees_with_itself(labels: list[int]) -> None:
    found = agreement(np.array(labels), np.array(labels), np.arange(3))
    assert list(found.values()) == pytest.approx([1, 1, 1, 1])


def test_agreement_is_over_the_items_asked_for() -> None:
    truth, labels = np.array([0, 0, 1, 1]), np.array([5, 5, 7, 5])
    assert agreement(truth, labels, np.array([0, 1, 2]))["ari"] == 1
    assert agreement(truth, labels, np.arange(4))["ari"] < 1


class Regretful(Clusterer):
    """A new cluster for each, and the third time all of them are one."""

    name = "regretful"

    def __init__(self) -> None:
        self._seen = 0
        self.context: list[ImageContext] = []

    def learn(self, embedding: Vector, context: ImageContext = NO_CONTEXT, *, cluster: int | None = None) -> Cluster:
        self._seen += 1
        self.context.append(context)
        return Cluster(self._seen, 0.0)

    def predict(self, embedding: Vector, context: ImageContext = NO_CONTEXT) -> int | None:
        return None

    def events(self) -> list[ClusterEvent]:
        return [ClusterEvent("merge", 2, 1), ClusterEvent("merge", 3, 2)] if self._seen == 3 else []

    def count(self) -> int:
        return 1

    @property
    def dimension(self) -> None:
        return None

    def state(self) -> dict[str, int]:
        return {}

    def restore(self, state: dict[str, int]) -> None: ...


def posts_with(vectors: np.ndarray, templates: Sequence[str], patches: np.ndarray | None = None) -> EmbeddedPosts:
    """Posts named by their place."""
    n = len(templates)
    given = (None,) * n if patches is None else tuple(patches)
    return EmbeddedPosts(tuple(map(str, range(n))), tuple(templates), vectors, given, (None,) * n)


def test_labels_on_arrival_and_after_merges() -> None:
    clusterer = Regretful()
    patches = np.arange(4 * 8 * 8 * 2).reshape(4, 8, 8, 2).astype(np.int8)
    arrival, final = online(posts_with(np.zeros((4, 2), np.float32), "abcd", patches), clusterer)
    assert arrival.tolist() == [1, 2, 3, 4]
    assert final.tolist() == [1, 1, 1, 4]
    assert [it.post for it in clusterer.context] == ["0", "1", "2", "3"]
    assert all(it.patches is not None for it in clusterer.context)


def test_an_item_drawn_twice_makes_no_pair_with_itself() -> None:
    """Else draws of what is one of a kind would agree, however wrong the clusters are."""
    truth, labels = np.arange(6), np.array([0, 0, 0, 1, 1, 1])
    assert agreement(truth, labels, np.array([0, 0, 1, 1, 2, 3]))["ari"] == 0


def test_several_orders_give_means_and_what_they_lie_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memewax.evaluation.measures.RESAMPLES", 10)
    posts = posts_with(np.eye(12, dtype=np.float32), [*"aaabbbcccc", "", ""])
    found, shown = report(posts, "given", Regretful, orders=9)
    low, high = found.figures["arrival.ari"].interval or (1, 0)
    assert (low, high) == (0, 0)
    low, high = found.figures["final.bcubed_recall"].interval or (1, 0)
    assert low < found.figures["final.bcubed_recall"].value < high
    assert found.intervals_are == "least to greatest of 9 orders"
    assert found.options == {"orders": 9, "template_share": None, "pairs_left_out": None}
    assert sorted(shown.embedded.ids) == sorted(posts.ids)
    assert shown.embedded.ids != posts.ids
    again, _ = report(posts, "given", Regretful, orders=9)
    assert again.figures == found.figures


def test_an_image_without_embedding_is_left_out_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memewax.evaluation.measures.RESAMPLES", 10)
    file = write_posts(tmp_path, [{"template": name} for name in ("cat", "cat", "dog", "dog")])
    (tmp_path / "1.png").write_bytes(b"no image")
    posts = posts_of(file, "template")
    with Steps("embedding", len(posts)) as steps:
        embedded = embed(posts, FakeImage(), Settings(), steps)
        assert embedded.templates == ("cat", "dog", "dog")
        found, shown = report(embedded, "fake", FakeClusterer)
        assert found.n == 3
        assert len(found.failures) == 1
        assert found.figures["oracle.clusters"].value == 2
        assert shown.labels.tolist() == [0, 0, 0]
        for name in ("0.png", "2.png", "3.png"):
            (tmp_path / name).unlink()
        with pytest.raises(WorldError, match="none of 4 images could be embedded"):
            embed(posts, FakeImage(), Settings(), steps)
