"""Recall of an approximate index against exact search."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from search.vector_index import FloatMatrix, Neighbours, RowNumbers, VectorIndex, exact

_EQUAL: Final = 1e-6
"""Tolerance for ties: rows whose cosines differ by less count as equally near."""


@dataclass(frozen=True, slots=True)
class Recall:
    """Mean share of the exact neighbours that were found, 0 to 1, at k = 1 and k = 10."""

    at_1: float
    at_10: float
    queries: int


def measure_recall(index: VectorIndex, queries: FloatMatrix) -> Recall:
    """Measure the recall of an index against exact search.

    Args:
        index: The index to measure.
        queries: Shape (n, dimension), L2-normalised.

    Raises:
        ValueError: There are no queries.

    Examples:
        >>> from search.vector_index import FlatIndex
        >>> vectors = np.eye(20, dtype=np.float32)
        >>> measure_recall(FlatIndex.of(vectors), vectors[:3])
        Recall(at_1=1.0, at_10=1.0, queries=3)
    """
    right = exact(queries, 10, index.vectors, index.live)
    return recall_of(index.search(queries, 10), right)


def recall_of_neighbours(index: VectorIndex, rows: RowNumbers) -> Recall:
    """Measure recall with rows of the index as queries; that a row finds itself does not count."""
    queries = index.vectors[rows]
    right = exact(queries, 11, index.vectors, index.live)
    return recall_of(others(index.search(queries, 11), rows), others(right, rows))


def others(found: Neighbours, rows: RowNumbers) -> Neighbours:
    """Drop each query's own row, or the last neighbour if it was not returned.

    Args:
        found: Neighbours of shape (queries, k).
        rows: Row number of each query, shape (queries,).

    Returns:
        Neighbours of shape (queries, k - 1).
    """
    keep = found.rows != rows[:, None]
    keep[keep.all(axis=1), -1] = False
    shape = len(rows), found.rows.shape[1] - 1
    return Neighbours(found.rows[keep].reshape(shape), found.similarities[keep].reshape(shape))


def recall_of(found: Neighbours, right: Neighbours) -> Recall:
    """Return recall at 1 and at 10 of `found` against the exact neighbours `right`.

    Both have at least 10 columns if the index has as many rows. A found row counts if its cosine reaches that of the
    last exact neighbour, so either of two equal texts may be found.

    Raises:
        ValueError: There are no queries.
    """
    if not len(found.rows):
        raise ValueError("no queries to measure recall with")
    return Recall(_at(1, found, right), _at(10, found, right), len(found.rows))


def _at(k: int, found: Neighbours, right: Neighbours) -> float:
    there = np.count_nonzero(right.rows[:, :k] >= 0, axis=1)
    last = np.take_along_axis(right.similarities, np.maximum(there, 1)[:, None] - 1, axis=1)
    hits = (found.similarities[:, :k] >= last - _EQUAL) & (found.rows[:, :k] >= 0)
    return float(np.mean(np.count_nonzero(hits, axis=1) / np.maximum(there, 1)))
