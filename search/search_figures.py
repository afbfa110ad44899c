"""Measurement of an index: recall, latency and size."""

import time
from dataclasses import dataclass
from typing import Final

import numpy as np

from search.recall import recall_of_neighbours
from search.vector_index import VectorIndex

_SEED: Final = 0
_LONE: Final = 50
"""Searches that are timed, one query at a time."""


@dataclass(frozen=True, slots=True)
class SearchFigures:
    """Figures of searches for the 10 nearest neighbours of rows of the index itself."""

    index: str
    """Kind of index."""
    index_mb: float
    """Memory, 10^6 bytes."""
    recall_at_1: float | None
    """Against exact search, 0 to 1; None for an empty index."""
    recall_at_10: float | None
    search_p50_ms: float | None
    """Median latency of a single query."""
    search_p99_ms: float | None
    queries: int


def search_figures(index: VectorIndex, queries: int) -> SearchFigures:
    """Measure an index with up to `queries` of its rows, chosen with a fixed seed."""
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
