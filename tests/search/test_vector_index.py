"""One suite for every index: what is found, in which order, and what changes do to it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dataflows.all_settings import Settings
from search.binary_index import BinaryIndex
from search.index_choice import IndexChoice
from search.recall import Recall, measure_recall, others, recall_of
from search.search_figures import search_figures
from search.vector_index import MISSING, FlatIndex, FloatMatrix, Mask, Neighbours, VectorIndex, exact, unit


class Thorough(BinaryIndex):
    """Its short list holds every row, so what it finds must be what comparing all finds."""

    exact_below = 0

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension, shortlist=1_000_000)


KINDS = (FlatIndex, Thorough)
every = pytest.mark.parametrize("kind", KINDS)


def made(count: int, dimension: int = 16, seed: int = 0) -> FloatMatrix:
    return unit(np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32))


def brute(vectors: FloatMatrix, queries: FloatMatrix, k: int, allowed: Mask) -> Neighbours:
    """Every cosine in double precision, sorted."""
    rows = np.full((len(queries), k), MISSING, np.int64)
    similarities = np.full((len(queries), k), -np.inf, np.float32)
    there = np.flatnonzero(allowed)
    for query, scores in enumerate(queries.astype(float) @ vectors[there].astype(float).T):
        best = np.lexsort((there, -scores))[:k]
        rows[query, : len(best)], similarities[query, : len(best)] = there[best], scores[best]
    return Neighbours(rows, similarities)


def check(index: VectorIndex, queries: FloatMatrix, k: int, among: Mask | None = None) -> None:
    found = index.search(queries, k, among)
    wanted = brute(index.vectors, queries, k, index.live if among is None else index.live & among)
    assert found.rows.shape == found.similarities.shape == (len(queries), k)
    assert (found.rows.dtype, found.similarities.dtype) == (np.int64, np.float32)
    np.testing.assert_allclose(found.similarities, wanted.similarities, atol=1e-5)
    known = np.where(wanted.rows == MISSING, -9, wanted.similarities)
    clear = np.abs(np.diff(known, axis=1, append=-10)) > 1e-5  # the others may change places
    clear &= np.abs(np.diff(known, axis=1, prepend=2)) > 1e-5
    np.testing.assert_array_equal(found.rows[:, :-1][clear[:, :-1]], wanted.rows[:, :-1][clear[:, :-1]])


@every
def test_an_empty_index_finds_nothing(kind: type[VectorIndex]) -> None:
    found = kind(16).search(made(2), 3)
    assert (found.rows == MISSING).all()
    assert np.isneginf(found.similarities).all()
    assert len(kind(16)) == 0


@every
def test_no_query_gets_no_answer(kind: type[VectorIndex]) -> None:
    assert kind.of(made(5)).search(made(0), 3).rows.shape == (0, 3)


@every
def test_where_there_are_fewer_than_k_the_rest_is_padded(kind: type[VectorIndex]) -> None:
    found = kind.of(made(1)).search(made(1), 3)
    np.testing.assert_array_equal(found.rows, [[0, MISSING, MISSING]])
    np.testing.assert_allclose(found.similarities, [[1, -np.inf, -np.inf]], rtol=1e-6)


@every
def test_the_nearest_come_first(kind: type[VectorIndex]) -> None:
    check(kind.of(made(3000)), made(7, seed=1), 20)


@every
def test_of_equal_ones_the_lower_row_comes_first(kind: type[VectorIndex]) -> None:
    vectors = np.tile(np.eye(16, dtype=np.float32), (20, 1))
    found = kind.of(vectors).search(np.eye(16, dtype=np.float32)[:2], 5)
    np.testing.assert_array_equal(found.rows, [[0, 16, 32, 48, 64], [1, 17, 33, 49, 65]])


@every
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 1.0])
def test_only_allowed_rows_are_found(kind: type[VectorIndex], share: float) -> None:
    among = np.random.default_rng(2).random(3000) < share
    check(kind.of(made(3000)), made(5, seed=1), 10, among)


@every
def test_a_row_that_is_written_over_is_found_where_it_is_now(kind: type[VectorIndex]) -> None:
    index = kind.of(made(500))
    index.put(np.array([7, 500, 9]), made(3, seed=5))
    assert len(index) == 501
    np.testing.assert_array_equal(index.search(made(3, seed=5), 1).rows[:, 0], [7, 500, 9])
    check(index, made(4), 10)


@every
def test_a_removed_row_is_found_no_more_until_it_is_written_again(kind: type[VectorIndex]) -> None:
    vectors = made(500)
    index = kind.of(vectors)
    index.remove(np.array([3, 4, 10_000]))
    assert len(index) == 498
    assert not {3, 4} & set(index.search(vectors[3:5], 498).rows.ravel())
    index.put(np.array([4]), vectors[:1])
    assert set(index.search(vectors[:1], 2).rows[0]) == {0, 4}


@every
def test_rows_may_be_left_out_and_written_later(kind: type[VectorIndex]) -> None:
    index = kind(16)
    index.put(np.array([5]), made(1))
    assert (index.height, len(index)) == (6, 1)
    assert index.search(made(1), 2).rows.tolist() == [[5, MISSING]]


@every
def test_the_answer_is_the_same_each_time_and_for_each_batch(kind: type[VectorIndex]) -> None:
    index, queries = kind.of(made(2000)), made(6, seed=3)
    whole = index.search(queries, 10)
    again = index.search(queries, 10)
    np.testing.assert_array_equal(whole.rows, again.rows)
    np.testing.assert_array_equal(whole.similarities, again.similarities)
    alone = np.concatenate([index.search(queries[[number]], 10).rows for number in range(6)])
    np.testing.assert_array_equal(whole.rows, alone)


@every
def test_more_rows_than_are_compared_at_once(kind: type[VectorIndex]) -> None:
    vectors = made(70_000, 8)
    index = kind.of(vectors)
    found = index.search(vectors[[0, 40_000, 69_999]], 3)
    np.testing.assert_array_equal(found.rows[:, 0], [0, 40_000, 69_999])
    check(index, made(3, 8, seed=4), 50)


@every
@pytest.mark.parametrize(
    ("queries", "k", "among", "told"),
    [
        (made(2, 8), 1, None, r"queries of shape \(n, 16\)"),
        (made(2)[0], 1, None, r"queries of shape \(n, 16\)"),
        (made(2), 0, None, "k must be at least 1"),
        (made(2), 1, np.ones(3, np.bool_), r"mask of shape \(5,\)"),
    ],
)
def test_wrong_shapes_are_refused(
    kind: type[VectorIndex], queries: FloatMatrix, k: int, among: Mask, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        kind.of(made(5)).search(queries, k, among)
    with pytest.raises(ValueError, match=r"vectors of shape \(1, 16\)"):
        kind.of(made(5)).put(np.array([0]), made(2))


@every
@hypothesis_settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_changes_leave_what_comparing_all_would_find(kind: type[VectorIndex], data: st.DataObject) -> None:
    index = kind(16)
    for seed in range(data.draw(st.integers(1, 5))):
        rows = np.array(data.draw(st.lists(st.integers(0, 60), unique=True, max_size=40)), np.int64)
        if data.draw(st.booleans()):
            index.remove(rows)
        else:
            index.put(rows, made(len(rows), seed=seed))
    among = np.array(data.draw(st.lists(st.booleans(), min_size=index.height, max_size=index.height)), np.bool_)
    check(index, made(3, seed=99), data.draw(st.integers(1, 12)), data.draw(st.sampled_from([None, among])))


def clustered(count: int, seed: int) -> FloatMatrix:
    """Unit vectors in 96 dimensions around 300 centres, as embeddings of texts are, more or less."""
    centres = made(300, 96, seed=0)
    random = np.random.default_rng(seed)
    return unit(centres[random.integers(0, 300, count)] + made(count, 96, seed=seed) * np.float32(0.8))


def test_bits_find_nearly_what_comparing_all_finds() -> None:
    index, queries = BinaryIndex.of(clustered(30_000, 1)), clustered(100, 2)
    recall = measure_recall(index, queries)
    assert recall.queries == 100
    assert recall.at_10 >= 0.97
    assert recall.at_1 >= 0.97
    half = np.random.default_rng(3).random(30_000) < 0.5
    right = exact(queries, 10, index.vectors, half)
    assert recall_of(index.search(queries, 10, half), right).at_10 >= 0.97


def test_bits_stay_right_when_most_rows_are_written_over() -> None:
    index, queries = BinaryIndex.of(clustered(10_000, 1)), clustered(50, 2)
    index.search(queries, 1)
    for seed in range(4, 8):
        rows = np.random.default_rng(seed).permutation(10_000)[:4000]
        index.put(rows, clustered(4000, seed))
        assert measure_recall(index, queries).at_10 >= 0.97
    assert index.bytes < 4 * FlatIndex.of(index.vectors).bytes


def test_a_filter_far_from_the_query_is_still_answered_whole() -> None:
    index = BinaryIndex.of(clustered(10_000, 1))
    query = index.vectors[[0]]
    far = np.zeros(10_000, np.bool_)
    far[np.argsort(index.vectors @ query[0])[:5000]] = True
    check(index, query, 10, far)


def test_figures_are_of_the_other_rows_and_of_what_is_there() -> None:
    index = BinaryIndex.of(clustered(6000, 1))
    index.remove(np.arange(100))
    figures = search_figures(index, 50)
    assert (figures.index, figures.queries) == ("onebit", 50)
    assert figures.recall_at_1 is not None
    assert figures.recall_at_1 >= 0.9
    assert figures.search_p99_ms is not None
    assert figures.search_p50_ms is not None
    assert 0 < figures.search_p50_ms <= figures.search_p99_ms
    assert search_figures(FlatIndex(8), 50).recall_at_10 is None


def test_a_row_is_not_its_own_neighbour() -> None:
    found = Neighbours(np.array([[4, 1, 2], [7, 8, 9]]), np.array([[1, 0.9, 0.8], [0.7, 0.6, 0.5]], np.float32))
    left = others(found, np.array([1, 3]))
    np.testing.assert_array_equal(left.rows, [[4, 2], [7, 8]])
    np.testing.assert_array_equal(left.similarities, np.array([[1, 0.8], [0.7, 0.6]], np.float32))


def test_recall_is_a_share_and_equal_texts_are_worth_the_same() -> None:
    rows = np.array([[0, 1, 2]])
    right = Neighbours(rows, np.array([[0.9, 0.8, 0.5]], np.float32))
    assert recall_of(right, right) == Recall(1, 1, 1)
    twin = Neighbours(np.array([[7, 1, 2]]), right.similarities)
    assert recall_of(twin, right) == Recall(1, 1, 1)
    worse = Neighbours(np.array([[1, 2, 5]]), np.array([[0.8, 0.5, 0.1]], np.float32))
    assert recall_of(worse, right) == Recall(0, pytest.approx(2 / 3), 1)
    nothing = Neighbours(np.full((1, 3), MISSING), np.full((1, 3), -np.inf, np.float32))
    assert recall_of(nothing, right) == Recall(0, 0, 1)
    with pytest.raises(ValueError, match="no queries"):
        recall_of(Neighbours(rows[:0], right.similarities[:0]), Neighbours(rows[:0], right.similarities[:0]))


def test_the_index_is_chosen_by_size_and_does_not_change_to_and_fro() -> None:
    choice, vectors = IndexChoice(exact_rows=200), made(300, 64)
    index: VectorIndex = FlatIndex(64)
    index.put(np.arange(200), vectors[:200])
    assert choice.convert(index) is index
    index.put(np.arange(200, 300), vectors[200:])
    index.remove(np.array([7]))
    grown = choice.convert(index)
    assert isinstance(grown, BinaryIndex)
    assert (len(grown), grown.height, bool(grown.live[7])) == (299, 300, False)
    check(grown, vectors[:5], 10)
    grown.remove(np.arange(250))
    assert choice.convert(grown) is grown


def test_short_vectors_are_always_compared_whole_and_settings_have_the_last_word() -> None:
    assert isinstance(IndexChoice(exact_rows=10).convert(FlatIndex.of(made(50, 16))), FlatIndex)
    assert isinstance(IndexChoice("onebit").convert(FlatIndex.of(made(50, 16))), BinaryIndex)
    assert isinstance(IndexChoice("exact", exact_rows=10).convert(FlatIndex.of(made(50, 64))), FlatIndex)
    assert IndexChoice.of(Settings()) == IndexChoice()
