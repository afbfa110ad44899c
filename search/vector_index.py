"""Nearest-neighbour search by cosine: the interface of all indexes, and the exact (brute-force) index.

An index holds unit vectors in numbered rows. Rows are written, overwritten and removed in batches, so an index follows
a store without being rebuilt.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.torch_runtime import imported_torch

FloatMatrix = NDArray[np.float32]
"""One vector per row: shape (n, dimension), float32, L2-normalised."""
RowNumbers = NDArray[np.int64]
"""Row numbers: shape (n,), int64, from 0."""
Mask = NDArray[np.bool_]
"""One flag per row, removed rows included: shape (`VectorIndex.height`,), bool."""

Number = TypeVar("Number", bound=np.generic)

MISSING: Final = -1
"""Row number that pads `Neighbours.rows` when fewer than `k` rows can be found."""
_BLOCK: Final = 32_768
"""Rows compared at once, so that the scores of a batch of queries stay in the CPU cache."""
_GROUP: Final = 32
"""Scores per group in `_threshold`, which looks only at the largest score of each group."""
_FEW: Final = 8
"""If at most one row in this many is allowed, the allowed rows are gathered before they are compared."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest rows of each query, nearest first; ties are ordered by row number."""

    rows: RowNumbers
    """Shape (queries, k), int64; padded with `MISSING` (-1)."""
    similarities: FloatMatrix
    """Cosines, -1 to 1: shape (queries, k), float32; padded with minus infinity."""


class VectorIndex(ABC):
    """Unit vectors in numbered rows that can be searched by cosine. Not thread-safe."""

    name: ClassVar[str]
    """Value of the setting that selects this index."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._matrix: FloatMatrix = np.zeros((0, dimension), np.float32)
        self._live: Mask = np.zeros(0, np.bool_)
        self.height = 0
        """Highest row number ever written, plus 1; removed rows count."""

    @classmethod
    def of(cls, vectors: FloatMatrix) -> Self:
        """Build an index of `vectors`, shape (n, dimension), in rows 0 to n - 1."""
        index = cls(vectors.shape[1])
        index.put(np.arange(len(vectors)), vectors)
        return index

    def __len__(self) -> int:
        """Count the rows that can be found."""
        return int(np.count_nonzero(self._live[: self.height]))

    @property
    def live(self) -> Mask:
        """Return which rows can be found: shape (`height`,). A view that the next write may change."""
        return self._live[: self.height]

    @property
    def vectors(self) -> FloatMatrix:
        """Return all rows, removed ones too: shape (`height`, dimension). A view that the next write may change."""
        return self._matrix[: self.height]

    @property
    def bytes(self) -> int:
        """Return the size of the index in memory, in bytes."""
        return self._matrix.nbytes + self._live.nbytes

    def put(self, rows: RowNumbers, vectors: FloatMatrix) -> None:
        """Write or overwrite rows (an upsert).

        Args:
            rows: Shape (n,), without duplicates.
            vectors: Shape (n, dimension), L2-normalised.

        Raises:
            ValueError: The shapes do not match.
        """
        if vectors.shape != (len(rows), self.dimension):
            raise ValueError(f"expected vectors of shape {(len(rows), self.dimension)}, found {vectors.shape}")
        if not len(rows):
            return
        self._grow(int(rows.max()) + 1)
        self._matrix[rows] = vectors
        self._live[rows] = True
        self._written(rows)

    def remove(self, rows: RowNumbers) -> None:
        """Remove rows; unknown rows are ignored."""
        self._live[rows[rows < self.height]] = False

    def search(self, queries: FloatMatrix, k: int, among: Mask | None = None) -> Neighbours:
        """Find the `k` nearest rows of each query.

        Args:
            queries: Shape (n, dimension), L2-normalised.
            k: Rows per query, at least 1.
            among: Rows that may be found, shape (`height`,); None allows all.

        Raises:
            ValueError: A shape is wrong, or `k` is below 1.

        Examples:
            >>> index = FlatIndex.of(np.eye(3, dtype=np.float32))
            >>> index.search(np.array([[0.6, 0.8, 0.0]], np.float32), 2).rows
            array([[1, 0]])
        """
        if queries.ndim != 2 or queries.shape[1] != self.dimension:
            raise ValueError(f"expected queries of shape (n, {self.dimension}), found {queries.shape}")
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        allowed = self.live
        if among is not None:
            if among.shape != (self.height,):
                raise ValueError(f"expected a mask of shape ({self.height},), found {among.shape}")
            allowed = allowed & among
        return self._search(np.ascontiguousarray(queries, np.float32), k, allowed)

    @abstractmethod
    def _search(self, queries: FloatMatrix, k: int, allowed: Mask) -> Neighbours:
        """Implement `search`; the arguments have been checked."""

    def _written(self, rows: RowNumbers) -> None:  # noqa: B027 - an index that keeps only the vectors has nothing to do
        """Handle the event that `rows` have new vectors."""

    def _grow(self, height: int) -> None:
        if height > len(self._matrix):
            room = max(height, len(self._matrix) + len(self._matrix) // 2, 1024)
            self._matrix = _longer(self._matrix, room)
            self._live = _longer(self._live, room)
        self.height = max(self.height, height)


class FlatIndex(VectorIndex):
    """Exact index: compares each query with every row."""

    name = "exact"

    def _search(self, queries: FloatMatrix, k: int, allowed: Mask) -> Neighbours:
        return exact(queries, k, self.vectors, allowed)


def exact(queries: FloatMatrix, k: int, vectors: FloatMatrix, allowed: Mask) -> Neighbours:
    """Find the `k` nearest allowed rows of each query by comparing all of them.

    Args:
        queries: Shape (n, dimension), L2-normalised.
        k: Rows per query.
        vectors: Shape (rows, dimension), L2-normalised.
        allowed: Shape (rows,).
    """
    best = TopK(len(queries), k)
    if np.count_nonzero(allowed) * _FEW <= len(allowed):
        rows = np.flatnonzero(allowed)
        for start in range(0, len(rows), _BLOCK):
            some = rows[start : start + _BLOCK]
            best.update(cosines(queries, vectors[some]), some)
        return best.found()
    for start in range(0, len(vectors), _BLOCK):
        scores = cosines(queries, vectors[start : start + _BLOCK])
        flags = allowed[start : start + _BLOCK]
        if not flags.all():
            scores[:, ~flags] = -np.inf
        best.update(scores, np.arange(start, start + len(flags)))
    return best.found()


def cosines(queries: FloatMatrix, vectors: FloatMatrix) -> FloatMatrix:
    """Return the dot products of unit vectors, `queries @ vectors.T`: shape (queries, vectors), float32.

    Torch multiplies with the larger matrix first: for one to eight queries that takes a third to two thirds of the time
    of NumPy's `queries @ vectors.T`. NumPy is as fast in this order when it has the CPU to itself, but its threads spin
    while they wait: with a model on the same cores, embedding and searching a sentence take a fifth longer. A single
    query is duplicated, because matrix times vector is slower than matrix times two columns.

    Examples:
        >>> cosines(np.array([[1, 0]], np.float32), np.array([[0, 1], [0.6, 0.8]], np.float32))
        array([[0. , 0.6]], dtype=float32)
    """
    torch = imported_torch()
    columns = np.repeat(queries, 2, axis=0) if len(queries) == 1 else np.array(queries)
    with torch.inference_mode():
        products = torch.from_numpy(vectors) @ torch.from_numpy(columns).T
        found: FloatMatrix = products.T[: len(queries)].contiguous().numpy()
    return found


class TopK:
    """Running top k of each query over blocks of scores.

    A block is only compared with the worst score still in the top k: partitioning a million scores per query would take
    longer than the matrix product that made them.
    """

    def __init__(self, queries: int, k: int) -> None:
        self._k = k
        self._rows: RowNumbers = np.full((queries, k), MISSING, np.int64)
        self._scores: FloatMatrix = np.full((queries, k), -np.inf, np.float32)

    def update(self, scores: FloatMatrix, rows: RowNumbers) -> None:
        """Merge a block of scores.

        Args:
            scores: Shape (queries, n).
            rows: Shape (n,), ascending and larger than all rows of earlier blocks.
        """
        for query, worst in enumerate(self._scores[:, -1]):
            block = scores[query]
            if np.isneginf(worst) and len(block) > 4 * self._k:
                candidates = np.flatnonzero(block >= _threshold(block, self._k))
                candidates = candidates[block[candidates] > -np.inf]
            else:
                candidates = np.flatnonzero(block > worst)
            if len(candidates):
                self.update_query(query, block[candidates], rows[candidates])

    def update_query(self, query: int, scores: FloatMatrix, rows: RowNumbers) -> None:
        """Merge scores of one query, shape (n,); rows that are `MISSING` are ignored."""
        there, new = self._rows[query] != MISSING, rows != MISSING
        scores = np.concatenate([self._scores[query][there], scores[new]])
        rows = np.concatenate([self._rows[query][there], rows[new]])
        order = np.lexsort((rows, -scores))[: self._k]
        self._scores[query, : len(order)] = scores[order]
        self._rows[query, : len(order)] = rows[order]

    def found(self) -> Neighbours:
        """Return the top k, best first."""
        return Neighbours(self._rows, np.clip(self._scores, -1, 1, where=self._rows != MISSING, out=self._scores))


def _threshold(scores: NDArray[np.float32], k: int) -> float:
    """Return a lower bound of the `k`-th largest score: the `k`-th largest of the maxima of groups of scores.

    At least `k` scores reach it, and few others. Partitioning the scores themselves takes ten times as long.
    """
    width = len(scores) // _GROUP
    if width >= k:
        scores = scores[: _GROUP * width].reshape(_GROUP, width).max(axis=0)
    return float(np.partition(scores, -k)[-k])


def unit(vectors: FloatMatrix) -> FloatMatrix:
    """L2-normalise each row; zero vectors stay zero.

    Examples:
        >>> unit(np.array([[3, 4], [0, 0]], np.float32))
        array([[0.6, 0.8],
               [0. , 0. ]], dtype=float32)
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: FloatMatrix = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return result


def _longer(array: NDArray[Number], room: int) -> NDArray[Number]:
    longer: NDArray[Number] = np.zeros((room, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer
