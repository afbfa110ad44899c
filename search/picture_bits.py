"""What pictures look like, a bit for each number of their vectors: enough to find among which the nearest are.

References:
    Charikar: Similarity estimation techniques from rounding algorithms. STOC 2002.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from search.vector_index import FloatMatrix, Mask, RowNumbers

_SEED: Final = 1
_LEARN: Final = 4096
"""Vectors from which the middle is learned; from fewer it is a guess."""
_BLOCK: Final = 65_536


class PictureBits:
    """On which side of some planes through the middle of all pictures each of them lies.

    Vectors of pictures have much in common, so that the planes have to go through their middle; it is learned from the
    first ones.
    """

    def __init__(self) -> None:
        self._middle: NDArray[np.float32] = np.zeros(0, np.float32)
        self._turn: FloatMatrix | None = None
        self._bits: NDArray[np.uint8] = np.zeros((0, 0), np.uint8)
        self._there: Mask = np.zeros(0, np.bool_)
        self._learned_of = 0

    @property
    def is_guess(self) -> bool:
        """Whether there are many more than those from which the middle was learned, and it was learned of few."""
        return self._learned_of < _LEARN and len(self._there) > 4 * _LEARN

    def put(self, rows: RowNumbers, vectors: FloatMatrix) -> None:
        """Take in the vectors of rows, shape (rows, dimension)."""
        if not len(rows):
            return
        if self._turn is None or self._turn.shape[0] != vectors.shape[1]:
            self._learn(vectors)
        height = int(rows.max()) + 1
        if height > len(self._there):
            room = max(height, len(self._there) * 3 // 2)
            self._bits, self._there = _longer(self._bits, room), _longer(self._there, room)
        self._bits[rows] = self._of(vectors)
        self._there[rows] = True

    def drop(self, rows: RowNumbers) -> None:
        """Forget rows."""
        self._there[rows[rows < len(self._there)]] = False

    def nearest(self, vector: NDArray[np.float32], most: int) -> RowNumbers:
        """The rows, at most so many, that lie on the same side as a vector most often."""
        if self._turn is None or len(vector) != self._turn.shape[0]:
            return np.zeros(0, np.int64)
        own = self._of(vector[None])[0].view(np.uint64)
        bits, there = self._bits, self._there
        far = np.full(len(there), np.iinfo(np.uint16).max, np.uint16)
        for start in range(0, len(there), _BLOCK):
            others = bits[start : start + _BLOCK].view(np.uint64)
            far[start : start + _BLOCK] = np.bitwise_count(others ^ own).sum(axis=1, dtype=np.uint16)
        far[~there] = np.iinfo(np.uint16).max
        rows = np.argpartition(far, most)[:most] if most < len(far) else np.arange(len(far))
        found: RowNumbers = rows[there[rows]]
        return found

    def _learn(self, vectors: FloatMatrix) -> None:
        dimension = vectors.shape[1]
        turned, _ = np.linalg.qr(np.random.default_rng(_SEED).normal(size=(dimension, dimension)))
        self._turn = turned.astype(np.float32)
        self._middle = vectors.mean(axis=0)
        self._learned_of = len(vectors)
        self._bits = np.zeros((0, 8 * -(-dimension // 64)), np.uint8)
        self._there = np.zeros(0, np.bool_)

    def _of(self, vectors: FloatMatrix) -> NDArray[np.uint8]:
        assert self._turn is not None
        sides = np.packbits((vectors - self._middle) @ self._turn > 0, axis=1)
        made = np.zeros((len(sides), self._bits.shape[1]), np.uint8)
        made[:, : sides.shape[1]] = sides
        return made


def _longer(array: NDArray[Any], room: int) -> NDArray[Any]:
    longer = np.zeros((room, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer
