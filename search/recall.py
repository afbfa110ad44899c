"""How much of what comparing all rows would find is found."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from search.vector_index import FloatMatrix, Neighbours, RowNumbers, VectorIndex, exact

_EQUAL: Final = 1e-6
"""Rows whose cosines differ by less are equally near, and either is right."""


@dataclass(frozen=True, slots=True)
class Recall:
    """Shares, 0 to 1, of the exact answer that were found."""

    at_1: float
    at_10: float
    queries: int


def measure_recall(index: VectorIndex, queries: FloatMatrix) -> Recall:
    """Recall of an index against comparing all its rows; raises `ValueError` where there are no queries."""
    right = exact(queries, 10, index.vectors, index.live)
    return recall_of(index.search(queries, 10), right)


def recall_of_neighbours(index: VectorIndex, rows: RowNumbers) -> Recall:
    """As `measure_recall`, for the neighbours of rows of the index: that each finds itself is not counted."""
    queries = index.vectors[rows]
    right = exact(queries, 11, index.vectors, index.live)
    return recall_of(others(index.search(queries, 11), rows), others(right, rows))


def others(found: Neighbours, rows: RowNumbers) -> Neighbours:
    """What was found without each query's own row, one narrower; where that was not found, without the last."""
    keep = found.rows != rows[:, None]
    keep[keep.all(axis=1), -1] = False
    shape = len(rows), found.rows.shape[1] - 1
    return Neighbours(found.rows[keep].reshape(shape), found.similarities[keep].reshape(shape))


def recall_of(found: Neighbours, right: Neighbours) -> Recall:
    """Recall at 1 and at 10 of `found` against `right`, both at least 10 wide where there are as many rows.

    A row counts where its cosine reaches that of the last right one, so that of two equal texts either may be found.
    """
    if not len(found.rows):
        raise ValueError("no queries to measure recall with")
    return Recall(_at(1, found, right), _at(10, found, right), len(found.rows))


def _at(k: int, found: Neighbours, right: Neighbours) -> float:
    there = np.count_nonzero(right.rows[:, :k] >= 0, axis=1)
    last = np.take_along_axis(right.similarities, np.maximum(there, 1)[:, None] - 1, axis=1)
    hits = (found.similarities[:, :k] >= last - _EQUAL) & (found.rows[:, :k] >= 0)
    return float(np.mean(np.count_nonzero(hits, axis=1) / np.maximum(there, 1)))
