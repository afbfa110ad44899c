"""Shorter vectors: made, kept, and better than PCA where PCA looks the wrong way."""

from pathlib import Path

import numpy as np
import pytest

from core.errors import WorldError
from models.runtime import Runtime
from search.recall import Recall
from search.reduction import Projection, pca, projection_names
from search.reduction_evaluation import Judged, Split
from search.reduction_training import Epoch, TrainingPlan, reduced_recall, train
from search.vector_index import FlatIndex, FloatMatrix, unit


def two_scales(count: int, seed: int) -> FloatMatrix:
    """Unit vectors of 32 numbers in dense groups: the groups lie far apart in 6 directions, which have the variance; who
    is near whom within a group is in 8 others, which have little of it; the rest is faint noise.
    """
    random = np.random.default_rng(seed)
    groups = np.random.default_rng(99).normal(size=(12, 6)) * 2.0
    place = groups[random.integers(0, 12, count)]
    fine = random.normal(size=(count, 8)) * 0.5
    return unit(np.hstack([place, fine, random.normal(size=(count, 18)) * 0.05]).astype(np.float32))


@pytest.fixture(scope="module")
def split() -> Split:
    return Split.of(two_scales(2000, 0))


def test_all_dimensions_of_pca_change_no_cosine(split: Split) -> None:
    whole = pca(split.train, 32, "m")
    np.testing.assert_allclose(whole(split.test) @ whole(split.train).T, split.test @ split.train.T, atol=1e-5)
    assert split.recall(whole) == Recall(1.0, 1.0, 200)
    assert whole.facts["variance_kept"] == pytest.approx(1)


def test_shorter_vectors_are_unit_vectors_of_that_length(split: Split) -> None:
    short = pca(split.train, 5, "m")(split.test)
    assert (short.shape, short.dtype) == ((200, 5), np.float32)
    np.testing.assert_allclose(np.linalg.norm(short, axis=1), 1, rtol=1e-5)


def test_fewer_dimensions_find_less(split: Split) -> None:
    recalls = [split.recall(pca(split.train, dimensions, "m")).at_10 for dimensions in (3, 8, 14)]
    assert recalls == sorted(recalls)
    assert recalls[0] < 0.5 < recalls[-1]


def test_training_keeps_more_neighbours_than_pca_and_tells_of_each_epoch(split: Split) -> None:
    told: list[Epoch] = []
    projection = train(split.train, split.choose, 6, "m", Runtime(), TrainingPlan(epochs=4), told.append)
    assert split.recall(projection).at_10 > split.recall(pca(split.train, 6, "m")).at_10 + 0.02
    assert [epoch.number for epoch in told] == list(range(5))
    assert told[-1].loss < told[0].loss
    assert projection.facts["epochs"][-1]["loss"] == told[-1].loss
    best = projection.facts["best_epoch"]
    assert told[best].recall_at_10 == max(epoch.recall_at_10 for epoch in told)
    again = train(split.train, split.choose, 6, "m", Runtime(), TrainingPlan(epochs=1))
    assert again.facts["epochs"][0] == projection.facts["epochs"][0]


def test_the_parts_of_a_corpus_do_not_overlap_and_are_the_same_each_time() -> None:
    vectors = two_scales(500, 3)
    one, two = Split.of(vectors), Split.of(vectors)
    parts = [part.tobytes() for it in (one,) for all_ in (it.train, it.choose, it.test) for part in all_]
    assert len(set(parts)) == 500
    np.testing.assert_array_equal(one.test, two.test)


def test_a_projection_comes_back_as_it_was_kept(tmp_path: Path, split: Split) -> None:
    projection = pca(split.train, 4, "model@1")
    projection.save(tmp_path / "new")
    found = Projection.load(tmp_path / "new", "pca-4")
    np.testing.assert_array_equal(found.weights, projection.weights)
    assert (found.model, found.facts, found.name) == ("model@1", projection.facts, "pca-4")
    assert projection_names(tmp_path / "new") == ["pca-4"]


def test_a_projection_that_is_not_there_or_broken_is_told(tmp_path: Path, split: Split) -> None:
    with pytest.raises(WorldError, match="no reduction 'pca-4' of this corpus: there is none yet"):
        Projection.load(tmp_path, "pca-4")
    pca(split.train, 4, "m").save(tmp_path)
    with pytest.raises(WorldError, match="no reduction 'pca-5' of this corpus: there is pca-4"):
        Projection.load(tmp_path, "pca-5")
    (tmp_path / "pca-4.safetensors").write_bytes(b"nonsense")
    with pytest.raises(WorldError, match="broken"):
        Projection.load(tmp_path, "pca-4")


def test_too_few_vectors_are_told() -> None:
    with pytest.raises(ValueError, match="8 dimensions need"):
        pca(two_scales(5, 0), 8, "m")


def test_recall_of_a_reduction_that_keeps_nothing_is_chance(split: Split) -> None:
    blind = Projection("pca", "m", np.zeros((32, 2), np.float32) + np.float32(1))
    right = FlatIndex.of(split.train).search(split.test, 10)
    assert reduced_recall(blind, split.train, split.test, right).at_10 < 0.05


def test_rank_correlation_with_judgement() -> None:
    first = unit(np.array([[1, 0], [1, 0], [1, 0]], np.float32))
    second = unit(np.array([[1, 0], [1, 1], [0, 1]], np.float32))
    judged = Judged(first, second, np.array([5, 3, 1], np.float32))
    assert judged.spearman() == pytest.approx(1)
    turned = Projection("pca", "m", np.array([[1, 0], [0, 1]], np.float32))
    assert judged.spearman(turned) == pytest.approx(1)
