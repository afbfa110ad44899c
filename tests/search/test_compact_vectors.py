"""Compact vectors find the nearest, and say how near they are."""

import numpy as np
import pytest

from search.compact_vectors import CompactVectors
from search.vector_index import unit


def alike() -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Vectors of 200 groups; what all have in common outweighs what tells them apart."""
    random = np.random.default_rng(3)
    groups = np.repeat(random.normal(size=(200, 64)), 40, axis=0)
    return unit((3 * random.normal(size=64) + groups + 0.3 * random.normal(size=(8000, 64))).astype(np.float32))


def test_the_nearest_are_found_and_how_near_they_are() -> None:
    vectors = alike()
    compact = CompactVectors()
    compact.put(np.arange(5000), vectors[:5000])
    compact.put(np.arange(5000, 8000), vectors[5000:])
    shares = []
    for row in range(0, 8000, 200):
        cosines = vectors @ vectors[row]
        rows, near = compact.nearest(5 * vectors[row], 10)  # of any length
        assert rows[0] == row
        assert np.abs(near - cosines[rows]).max() < 0.002
        shares.append(np.mean(cosines[rows] > np.sort(cosines)[-10] - 0.001))
    assert np.mean(shares) > 0.95
    assert np.allclose(compact.mean(), vectors.mean(axis=0), atol=0.002)


def test_the_middle_is_learned_again_where_it_was_learned_of_few() -> None:
    vectors = alike()
    compact = CompactVectors()
    compact.put(np.arange(10), 1 - vectors[:10])  # which tell little of the others
    compact.drop(np.arange(10))
    compact.put(np.arange(8000), vectors)
    before = compact.vectors(np.arange(100))
    compact.relearn()
    assert (compact.vectors(np.arange(100)) == before).all()
    cosines = vectors @ vectors[3900]
    assert (cosines[compact.nearest(vectors[3900], 10)[0]] > np.sort(cosines)[-10] - 0.002).all()


def test_of_few_that_may_be_found_all_are_compared() -> None:
    vectors = alike()
    compact = CompactVectors()
    compact.put(np.arange(8000), vectors)
    among = np.zeros(9000, np.bool_)
    among[[5, 7000, 8500]] = True
    rows, _ = compact.nearest(vectors[0], 10, among)
    assert set(rows.tolist()) == {5, 7000}
    assert set(compact.nearest(vectors[0], 10, among[:100])[0].tolist()) == {5}


def test_what_is_gone_or_was_never_there_is_not_found() -> None:
    vectors = unit(np.random.default_rng(3).normal(size=(10, 8)).astype(np.float32))
    compact = CompactVectors()
    assert len(compact.nearest(vectors[0], 5)[0]) == 0
    compact.put(np.array([1, 4, 7]), vectors[:3])
    assert set(compact.nearest(vectors[0], 5)[0].tolist()) == {1, 4, 7}
    compact.drop(np.array([4, 4000]))
    assert set(compact.nearest(vectors[0], 5)[0].tolist()) == {1, 7}
    assert compact.has(np.array([1, 4, 4000])).tolist() == [True, False, False]
    assert len(compact.nearest(vectors[0][:4], 5)[0]) == 0
    compact.put(np.array([7, 8]), np.stack([vectors[5], np.zeros(8, np.float32)]))
    assert len(compact) == 2
    assert compact.mean() == pytest.approx((vectors[0] + vectors[5]) / 2, abs=0.01)
    assert compact.vectors(np.array([7]))[0] == pytest.approx(vectors[5], abs=0.02)
