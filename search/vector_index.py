"""Nearest vectors by cosine: the interface of every index, and the exact one.

An index holds unit vectors in numbered rows. Rows are written, overwritten and removed one batch at a time, so that it
follows a store without being built anew.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.torch_runtime import imported_torch

FloatMatrix = NDArray[np.float32]
"""Vectors, one a row: shape (n, dimension), L2-normalised."""
RowNumbers = NDArray[np.int64]
Mask = NDArray[np.bool_]
"""One flag for each row that was ever written: shape (`VectorIndex.height`,)."""

Number = TypeVar("Number", bound=np.generic)

NONE: Final = -1
"""Row of a hit that is not there, where fewer than `k` rows can be found."""
_BLOCK: Final = 32_768
"""Rows that are compared at once: the scores of a batch of queries stay in the cache."""
_GROUP: Final = 32
"""Scores of which only the largest is looked at to find where the best begin."""
_FEW: Final = 8
"""Where one row in so many or fewer is asked for, these are gathered first."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The nearest rows of each query, nearest first; of equally near ones the lower row comes first."""

    rows: RowNumbers
    """Shape (queries, k); -1 where there are no more."""
    similarities: FloatMatrix
    """Cosines, shape (queries, k), -1 to 1; minus infinity where there are no more."""


class VectorIndex(ABC):
    """Unit vectors in numbered rows, to be searched; one thread at a time."""

    name: ClassVar[str]
    """As the settings call it."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._matrix: FloatMatrix = np.zeros((0, dimension), np.float32)
        self._live: Mask = np.zeros(0, np.bool_)
        self.height = 0
        """Rows ever written, whether or not they are still there."""

    @classmethod
    def of(cls, vectors: FloatMatrix) -> Self:
        """An index of `vectors`, rows from 0."""
        index = cls(vectors.shape[1])
        index.put(np.arange(len(vectors)), vectors)
        return index

    def __len__(self) -> int:
        """How many rows can be found."""
        return int(np.count_nonzero(self._live[: self.height]))

    @property
    def live(self) -> Mask:
        """Which rows can be found; a view that the next change may change."""
        return self._live[: self.height]

    @property
    def vectors(self) -> FloatMatrix:
        """All rows, shape (`height`, dimension), removed ones too; a view that the next change may change."""
        return self._matrix[: self.height]

    @property
    def bytes(self) -> int:
        """Memory that it holds."""
        return self._matrix.nbytes + self._live.nbytes

    def put(self, rows: RowNumbers, vectors: FloatMatrix) -> None:
        """Write `vectors` into `rows`, each at most once: new ones, or over what was there."""
        if vectors.shape != (len(rows), self.dimension):
            raise ValueError(f"expected vectors of shape {(len(rows), self.dimension)}, found {vectors.shape}")
        if not len(rows):
            return
        self._grow(int(rows.max()) + 1)
        self._matrix[rows] = vectors
        self._live[rows] = True
        self._written(rows)

    def remove(self, rows: RowNumbers) -> None:
        """Take rows out; those that are not there are not missed."""
        self._live[rows[rows < self.height]] = False

    def search(self, queries: FloatMatrix, k: int, among: Mask | None = None) -> Neighbours:
        """The `k` nearest rows of each query, of those that `among` allows; raises `ValueError` at wrong shapes."""
        if queries.ndim != 2 or queries.shape[1] != self.dimension:
            raise ValueError(f"expected queries of {self.dimension} numbers, found shape {queries.shape}")
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        allowed = self.live
        if among is not None:
            if among.shape != (self.height,):
                raise ValueError(f"expected a flag for each of {self.height} rows, found shape {among.shape}")
            allowed = allowed & among
        return self._search(np.ascontiguousarray(queries, np.float32), k, allowed)

    @abstractmethod
    def _search(self, queries: FloatMatrix, k: int, allowed: Mask) -> Neighbours:
        """As `search`, arguments checked."""

    def _written(self, rows: RowNumbers) -> None:  # noqa: B027 - an index of the vectors alone has nothing to do
        """Take note that `rows` have new vectors."""

    def _grow(self, height: int) -> None:
        if height > len(self._matrix):
            room = max(height, len(self._matrix) + len(self._matrix) // 2, 1024)
            self._matrix = _longer(self._matrix, room)
            self._live = _longer(self._live, room)
        self.height = max(self.height, height)


class FlatIndex(VectorIndex):
    """Every row is compared."""

    name = "exact"

    def _search(self, queries: FloatMatrix, k: int, allowed: Mask) -> Neighbours:
        return exact(queries, k, self.vectors, allowed)


def exact(queries: FloatMatrix, k: int, vectors: FloatMatrix, allowed: Mask) -> Neighbours:
    """The `k` nearest of the allowed rows for each query, by comparing all of them."""
    best = TopK(len(queries), k)
    if np.count_nonzero(allowed) * _FEW <= len(allowed):
        rows = np.flatnonzero(allowed)
        for start in range(0, len(rows), _BLOCK):
            some = rows[start : start + _BLOCK]
            best.see(cosines(queries, vectors[some]), some)
        return best.found()
    for start in range(0, len(vectors), _BLOCK):
        scores = cosines(queries, vectors[start : start + _BLOCK])
        flags = allowed[start : start + _BLOCK]
        if not flags.all():
            scores[:, ~flags] = -np.inf
        best.see(scores, np.arange(start, start + len(flags)))
    return best.found()


def cosines(queries: FloatMatrix, vectors: FloatMatrix) -> FloatMatrix:
    """Products of each of `queries` with each of `vectors`: shape (queries, vectors).

    By torch and with the many rows first: for one to eight queries that takes a third to two thirds of NumPy's time the
    other way round. Alone NumPy is as quick this way round too, but its threads spin while they wait: beside a model on
    the same cores, a sentence and its search then take a fifth longer. One query alone goes twice, since the routine
    for single vectors is slower than that for two.
    """
    torch = imported_torch()
    columns = np.repeat(queries, 2, axis=0) if len(queries) == 1 else np.array(queries)
    with torch.inference_mode():
        products = torch.from_numpy(vectors) @ torch.from_numpy(columns).T
        found: FloatMatrix = products.T[: len(queries)].contiguous().numpy()
    return found


class TopK:
    """The best `k` of what was seen so far, for each query.

    A block of scores is only compared with the worst that still counts; partitioning a million of them for each query
    would take longer than the product that made them.
    """

    def __init__(self, queries: int, k: int) -> None:
        self._k = k
        self._rows: RowNumbers = np.full((queries, k), NONE, np.int64)
        self._scores: FloatMatrix = np.full((queries, k), -np.inf, np.float32)

    def see(self, scores: FloatMatrix, rows: RowNumbers) -> None:
        """Take in `scores`, shape (queries, len(rows)), of ascending `rows`, all beyond those seen before."""
        for query, worst in enumerate(self._scores[:, -1]):
            own = scores[query]
            if np.isneginf(worst) and len(own) > 4 * self._k:
                candidates = np.flatnonzero(own >= _least(own, self._k))
                candidates = candidates[own[candidates] > -np.inf]
            else:
                candidates = np.flatnonzero(own > worst)
            if len(candidates):
                self.see_of(query, own[candidates], rows[candidates])

    def see_of(self, query: int, scores: FloatMatrix, rows: RowNumbers) -> None:
        """Take in scores of one query; a row that is none is left out."""
        there, new = self._rows[query] != NONE, rows != NONE
        scores = np.concatenate([self._scores[query][there], scores[new]])
        rows = np.concatenate([self._rows[query][there], rows[new]])
        order = np.lexsort((rows, -scores))[: self._k]
        self._scores[query, : len(order)] = scores[order]
        self._rows[query, : len(order)] = rows[order]

    def found(self) -> Neighbours:
        """The best, in order."""
        return Neighbours(self._rows, np.clip(self._scores, -1, 1, where=self._rows != NONE, out=self._scores))


def _least(scores: NDArray[np.float32], k: int) -> float:
    """A number that at least `k` of the scores reach and few others: the `k`-th largest of the largest of each group.

    Partitioning the scores themselves gives the `k`-th largest, and takes ten times as long.
    """
    width = len(scores) // _GROUP
    if width >= k:
        scores = scores[: _GROUP * width].reshape(_GROUP, width).max(axis=0)
    return float(np.partition(scores, -k)[-k])


def unit(vectors: FloatMatrix) -> FloatMatrix:
    """`vectors` with length 1; what is 0 stays 0."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: FloatMatrix = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return result


def _longer(array: NDArray[Number], room: int) -> NDArray[Number]:
    longer: NDArray[Number] = np.zeros((room, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer
