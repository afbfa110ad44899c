"""Approximate index of 1-bit quantised vectors: bits select a shortlist, exact cosines rank it.

RaBitQ (Gao and Long 2024, arXiv:2405.12497) as implemented by faiss. Every vector is compared, by some 60 bytes instead
of 1,500; so there is no graph or partition that must be built or that may be wrong for a query.
"""

from typing import Any, Final

import faiss
import numpy as np

from search.vector_index import MISSING, FloatMatrix, Mask, Neighbours, RowNumbers, TopK, VectorIndex, exact

_FEW: Final = 32
"""If at most one row in this many is allowed, the allowed rows are compared exactly."""
LEAST_DIMENSION: Final = 64
"""Smallest useful dimension: shorter vectors have too few bits to tell them apart."""
_SPARE: Final = 1.25
"""Oversampling factor: candidates requested per candidate that is expected to pass the filter."""
_SAMPLE: Final = 65_536
"""Most rows that the centroid is learned from, and rows that are rotated at once."""
_SEED: Final = 1


class BinaryIndex(VectorIndex):
    """Approximate index: 1-bit codes select candidates, exact cosines rank the best `shortlist` of them.

    faiss can only append codes. An overwritten row gets a new code and its old code becomes stale; all codes are
    rebuilt when as many rows were written as there were at the last build.
    """

    name = "onebit"
    exact_below = 4096
    """Up to this many allowed rows are compared exactly."""

    def __init__(self, dimension: int, shortlist: int = 500) -> None:
        """Make an empty index; `shortlist` is the number of candidates per query, at least ten times k."""
        super().__init__(dimension)
        self.shortlist = shortlist
        rotation, _ = np.linalg.qr(np.random.default_rng(_SEED).normal(size=(dimension, dimension)))
        self._rotation: FloatMatrix = rotation.astype(np.float32)
        """Random rotation, shape (dimension, dimension): spreads the variance evenly, so each bit says the most."""
        self._bits: Any = None
        self._rows_at_build = 0
        self._row_at: RowNumbers = np.zeros(0, np.int64)
        """Row of each code, shape (codes,)."""
        self._place_of: RowNumbers = np.zeros(0, np.int64)
        """Position of the newest code of each row, shape (height,)."""
        self._pending: list[RowNumbers] = []

    @property
    def bytes(self) -> int:
        """Return the size of the index in memory, in bytes, codes included."""
        bits = 0 if self._bits is None else self._bits.ntotal * self._bits.code_size
        return super().bytes + bits + self._row_at.nbytes + self._place_of.nbytes

    def _written(self, rows: RowNumbers) -> None:
        self._pending.append(rows)

    def _search(self, queries: FloatMatrix, k: int, allowed: Mask) -> Neighbours:
        count = int(np.count_nonzero(allowed))
        wanted = max(self.shortlist, 10 * k)
        if count <= max(self.exact_below, len(allowed) // _FEW) or not len(queries):
            return exact(queries, k, self.vectors, allowed)
        self._catch_up()
        depth = min(self._bits.ntotal, int(wanted * _SPARE * self._bits.ntotal / count))
        _, places = self._bits.search(queries @ self._rotation, depth)
        best = TopK(len(queries), k)
        for query, found_places in enumerate(places):
            present = found_places[found_places != MISSING]
            rows = self._row_at[present]
            rows = np.sort(rows[(self._place_of[rows] == present) & allowed[rows]])
            if len(rows) < min(count, wanted // 2):  # the allowed rows lie far from this query
                found = exact(queries[[query]], k, self.vectors, allowed)
                best.update_query(query, found.similarities[0], found.rows[0])
            else:
                best.update_query(query, self.vectors[rows] @ queries[query], rows)
        return best.found()

    def _catch_up(self) -> None:
        pending = np.unique(np.concatenate(self._pending)) if self._pending else np.zeros(0, np.int64)
        self._pending = []
        if self._bits is None or self._bits.ntotal + len(pending) > 2 * self._rows_at_build:
            pending = np.flatnonzero(self.live)
            self._bits = faiss.IndexRaBitQFastScan(self.dimension, faiss.METRIC_INNER_PRODUCT)
            self._bits.train(self.vectors[pending[:: max(1, len(pending) // _SAMPLE)]] @ self._rotation)
            self._row_at = np.zeros(0, np.int64)
            self._rows_at_build = len(pending)
        self._place_of = np.concatenate([self._place_of, np.full(self.height - len(self._place_of), MISSING)])
        self._place_of[pending] = np.arange(len(pending)) + len(self._row_at)
        self._row_at = np.concatenate([self._row_at, pending])
        for start in range(0, len(pending), _SAMPLE):
            self._bits.add(self.vectors[pending[start : start + _SAMPLE]] @ self._rotation)
