"""Nearest vectors among many: one bit a number finds a short list, whole numbers put it in order.

RaBitQ (Gao and Long 2024, arXiv:2405.12497) by faiss: every vector is compared by its bits, some 60 bytes instead of
1,500, so there is no graph and no partition to be built, or to be wrong for a query. Then the exact cosines decide.
"""

from typing import Any, Final

import faiss
import numpy as np

from search.vector_index import NONE, FloatMatrix, Mask, Neighbours, RowNumbers, TopK, VectorIndex, exact

_FEW: Final = 32
"""Where one row in so many or fewer is allowed, these are compared exactly."""
LEAST_DIMENSION: Final = 64
"""Vectors of fewer numbers have too few bits to be told apart."""
_SPARE: Final = 1.25
"""So much more is looked for than a filter is expected to leave."""
_SAMPLE: Final = 65_536
"""Rows from which the centre is learned, and that are turned at once."""
_SEED: Final = 1


class BinaryIndex(VectorIndex):
    """Bits first, then exact cosines of the best `shortlist` rows.

    Bits can only be added, so a row that is written over gets new ones and its old ones become stale; they are made
    anew when as many rows were written since as there were.
    """

    name = "onebit"
    exact_below = 4096
    """So few allowed rows are compared exactly."""

    def __init__(self, dimension: int, shortlist: int = 500) -> None:
        """`shortlist`: rows whose exact cosine is looked at, for each query; more where k is large."""
        super().__init__(dimension)
        self.shortlist = shortlist
        turned, _ = np.linalg.qr(np.random.default_rng(_SEED).normal(size=(dimension, dimension)))
        self._turn: FloatMatrix = turned.astype(np.float32)
        """A bit of each number says most where all numbers weigh alike, which a random rotation sees to."""
        self._bits: Any = None
        self._made_of = 0
        self._row_at: RowNumbers = np.zeros(0, np.int64)
        """The row of each place in the bits."""
        self._place_of: RowNumbers = np.zeros(0, np.int64)
        """The place of each row's newest bits."""
        self._waiting: list[RowNumbers] = []

    @property
    def bytes(self) -> int:
        """Memory that it holds."""
        bits = 0 if self._bits is None else self._bits.ntotal * self._bits.code_size
        return super().bytes + bits + self._row_at.nbytes + self._place_of.nbytes

    def _written(self, rows: RowNumbers) -> None:
        self._waiting.append(rows)

    def _search(self, queries: FloatMatrix, k: int, allowed: Mask) -> Neighbours:
        count = int(np.count_nonzero(allowed))
        wanted = max(self.shortlist, 10 * k)
        if count <= max(self.exact_below, len(allowed) // _FEW) or not len(queries):
            return exact(queries, k, self.vectors, allowed)
        self._catch_up()
        depth = min(self._bits.ntotal, int(wanted * _SPARE * self._bits.ntotal / count))
        _, places = self._bits.search(queries @ self._turn, depth)
        best = TopK(len(queries), k)
        for query, own in enumerate(places):
            rows = self._row_at[own[own != NONE]]
            rows = np.sort(rows[(self._place_of[rows] == own[own != NONE]) & allowed[rows]])
            if len(rows) < min(count, wanted // 2):  # what the filter leaves lies far from this query
                found = exact(queries[[query]], k, self.vectors, allowed)
                best.see_of(query, found.similarities[0], found.rows[0])
            else:
                best.see_of(query, self.vectors[rows] @ queries[query], rows)
        return best.found()

    def _catch_up(self) -> None:
        waiting = np.unique(np.concatenate(self._waiting)) if self._waiting else np.zeros(0, np.int64)
        self._waiting = []
        if self._bits is None or self._bits.ntotal + len(waiting) > 2 * self._made_of:
            waiting = np.flatnonzero(self.live)
            self._bits = faiss.IndexRaBitQFastScan(self.dimension, faiss.METRIC_INNER_PRODUCT)
            self._bits.train(self.vectors[waiting[:: max(1, len(waiting) // _SAMPLE)]] @ self._turn)
            self._row_at = np.zeros(0, np.int64)
            self._made_of = len(waiting)
        self._place_of = np.concatenate([self._place_of, np.full(self.height - len(self._place_of), NONE)])
        self._place_of[waiting] = np.arange(len(waiting)) + len(self._row_at)
        self._row_at = np.concatenate([self._row_at, waiting])
        for start in range(0, len(waiting), _SAMPLE):
            self._bits.add(self.vectors[waiting[start : start + _SAMPLE]] @ self._turn)
