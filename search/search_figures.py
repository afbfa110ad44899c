"""How well and how fast an index searches what it holds, measured."""

import time
from dataclasses import dataclass
from typing import Final

import numpy as np

from search.recall import recall_of_neighbours
from search.vector_index import VectorIndex

_SEED: Final = 0
_LONE: Final = 50
"""Searches that are timed one by one."""


@dataclass(frozen=True, slots=True)
class SearchFigures:
    """Of searches for the 10 nearest others of rows of the index itself."""

    index: str
    index_mb: float
    recall_at_1: float | None
    """Against comparing all rows; None where there are no rows."""
    recall_at_10: float | None
    search_p50_ms: float | None
    """One query at a time."""
    search_p99_ms: float | None
    queries: int


def search_figures(index: VectorIndex, queries: int) -> SearchFigures:
    """Measure with up to `queries` rows, the same each time."""
    live = np.flatnonzero(index.live)
    rows = np.random.default_rng(_SEED).permutation(live)[:queries]
    megabytes = round(index.bytes / 1e6, 1)
    if not len(rows):
        return SearchFigures(index.name, megabytes, None, None, None, None, 0)
    vectors = index.vectors[rows]
    recall = recall_of_neighbours(index, rows)
    index.search(vectors[:1], 10)
    times = []
    for vector in vectors[:_LONE]:
        start = time.perf_counter()
        index.search(vector[None], 10)
        times.append((time.perf_counter() - start) * 1000)
    median, worst = (round(float(it), 3) for it in np.quantile(times, (0.5, 0.99)))
    return SearchFigures(index.name, megabytes, recall.at_1, recall.at_10, median, worst, len(rows))
