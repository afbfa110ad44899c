"""One suite for every index: what is found, in which order, and what changes do to it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.nearest import NONE, Exact, FloatMatrix, Found, Mask, Nearest, unit

KINDS = (Exact,)
every = pytest.mark.parametrize("kind", KINDS)


def made(count: int, dimension: int = 16, seed: int = 0) -> FloatMatrix:
    return unit(np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32))


def brute(vectors: FloatMatrix, queries: FloatMatrix, k: int, allowed: Mask) -> Found:
    """Every cosine in double precision, sorted."""
    rows = np.full((len(queries), k), NONE, np.int64)
    similarities = np.full((len(queries), k), -np.inf, np.float32)
    there = np.flatnonzero(allowed)
    for query, scores in enumerate(queries.astype(float) @ vectors[there].astype(float).T):
        best = np.lexsort((there, -scores))[:k]
        rows[query, : len(best)], similarities[query, : len(best)] = there[best], scores[best]
    return Found(rows, similarities)


def check(index: Nearest, queries: FloatMatrix, k: int, among: Mask | None = None) -> None:
    found = index.search(queries, k, among)
    wanted = brute(index.vectors, queries, k, index.live if among is None else index.live & among)
    assert found.rows.shape == found.similarities.shape == (len(queries), k)
    assert (found.rows.dtype, found.similarities.dtype) == (np.int64, np.float32)
    np.testing.assert_allclose(found.similarities, wanted.similarities, atol=1e-5)
    known = np.where(wanted.rows == NONE, -9, wanted.similarities)
    clear = np.abs(np.diff(known, axis=1, append=-10)) > 1e-5  # the others may change places
    clear &= np.abs(np.diff(known, axis=1, prepend=2)) > 1e-5
    np.testing.assert_array_equal(found.rows[:, :-1][clear[:, :-1]], wanted.rows[:, :-1][clear[:, :-1]])


@every
def test_an_empty_index_finds_nothing(kind: type[Nearest]) -> None:
    found = kind(16).search(made(2), 3)
    assert (found.rows == NONE).all()
    assert np.isneginf(found.similarities).all()
    assert len(kind(16)) == 0


@every
def test_no_query_gets_no_answer(kind: type[Nearest]) -> None:
    assert kind.of(made(5)).search(made(0), 3).rows.shape == (0, 3)


@every
def test_where_there_are_fewer_than_k_the_rest_is_padded(kind: type[Nearest]) -> None:
    found = kind.of(made(1)).search(made(1), 3)
    np.testing.assert_array_equal(found.rows, [[0, NONE, NONE]])
    np.testing.assert_allclose(found.similarities, [[1, -np.inf, -np.inf]], rtol=1e-6)


@every
def test_the_nearest_come_first(kind: type[Nearest]) -> None:
    check(kind.of(made(3000)), made(7, seed=1), 20)


@every
def test_of_equal_ones_the_lower_row_comes_first(kind: type[Nearest]) -> None:
    vectors = np.tile(np.eye(16, dtype=np.float32), (20, 1))
    found = kind.of(vectors).search(np.eye(16, dtype=np.float32)[:2], 5)
    np.testing.assert_array_equal(found.rows, [[0, 16, 32, 48, 64], [1, 17, 33, 49, 65]])


@every
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_only_allowed_rows_are_found(kind: type[Nearest], share: float) -> None:
    among = np.random.default_rng(2).random(3000) < share
    check(kind.of(made(3000)), made(5, seed=1), 10, among)


@every
def test_a_row_that_is_written_over_is_found_where_it_is_now(kind: type[Nearest]) -> None:
    index = kind.of(made(500))
    index.put(np.array([7, 500, 9]), made(3, seed=5))
    assert len(index) == 501
    np.testing.assert_array_equal(index.search(made(3, seed=5), 1).rows[:, 0], [7, 500, 9])
    check(index, made(4), 10)


@every
def test_a_removed_row_is_found_no_more_until_it_is_written_again(kind: type[Nearest]) -> None:
    vectors = made(500)
    index = kind.of(vectors)
    index.remove(np.array([3, 4, 10_000]))
    assert len(index) == 498
    assert not {3, 4} & set(index.search(vectors[3:5], 498).rows.ravel())
    index.put(np.array([4]), vectors[:1])
    assert set(index.search(vectors[:1], 2).rows[0]) == {0, 4}


@every
def test_rows_may_be_left_out_and_written_later(kind: type[Nearest]) -> None:
    index = kind(16)
    index.put(np.array([5]), made(1))
    assert (index.height, len(index)) == (6, 1)
    assert index.search(made(1), 2).rows.tolist() == [[5, NONE]]


@every
def test_the_answer_is_the_same_each_time_and_for_each_batch(kind: type[Nearest]) -> None:
    index, queries = kind.of(made(2000)), made(6, seed=3)
    whole = index.search(queries, 10)
    again = index.search(queries, 10)
    np.testing.assert_array_equal(whole.rows, again.rows)
    np.testing.assert_array_equal(whole.similarities, again.similarities)
    alone = np.concatenate([index.search(queries[[number]], 10).rows for number in range(6)])
    np.testing.assert_array_equal(whole.rows, alone)


@every
def test_more_rows_than_are_compared_at_once(kind: type[Nearest]) -> None:
    vectors = made(70_000, 8)
    index = kind.of(vectors)
    found = index.search(vectors[[0, 40_000, 69_999]], 3)
    np.testing.assert_array_equal(found.rows[:, 0], [0, 40_000, 69_999])
    check(index, made(3, 8, seed=4), 50)


@every
@pytest.mark.parametrize(
    ("queries", "k", "among", "told"),
    [
        (made(2, 8), 1, None, "queries of 16 numbers"),
        (made(2)[0], 1, None, "queries of 16 numbers"),
        (made(2), 0, None, "k must be at least 1"),
        (made(2), 1, np.ones(3, np.bool_), "each of 5 rows"),
    ],
)
def test_wrong_shapes_are_refused(kind: type[Nearest], queries: FloatMatrix, k: int, among: Mask, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        kind.of(made(5)).search(queries, k, among)
    with pytest.raises(ValueError, match=r"vectors of shape \(1, 16\)"):
        kind.of(made(5)).put(np.array([0]), made(2))


@every
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_changes_leave_what_comparing_all_would_find(kind: type[Nearest], data: st.DataObject) -> None:
    index = kind(16)
    for seed in range(data.draw(st.integers(1, 5))):
        rows = np.array(data.draw(st.lists(st.integers(0, 60), unique=True, max_size=40)), np.int64)
        if data.draw(st.booleans()):
            index.remove(rows)
        else:
            index.put(rows, made(len(rows), seed=seed))
    among = np.array(data.draw(st.lists(st.booleans(), min_size=index.height, max_size=index.height)), np.bool_)
    check(index, made(3, seed=99), data.draw(st.integers(1, 12)), data.draw(st.sampled_from([None, among])))
