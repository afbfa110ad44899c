"""A second look at two images: whether their patches look alike in the same places."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.clusterers.exemplars import Floats

SIDE: Final = 8
"""Patches along each side of the grid."""
CELLS: Final = SIDE * SIDE
BITS: Final = 128
WORDS: Final = BITS // 64
_BEST: Final = 28
"""Patches that are compared: the better half of those that two grids still share when one is moved by one step. What
captions, bars and marks cover is in the other half."""
_SHRINK: Final = 0.05
"""Share of the mean variance that is added to that of each direction, so that weak ones are not blown up."""
_SEED: Final = 1

Codes = NDArray[np.uint64]
"""Sign codes of an image's patches: shape (`CELLS`, `WORDS`)."""
Tokens = NDArray[Any]
"""Numbers of patches, whatever their type."""


def _moves() -> NDArray[np.int64]:
    """The cell that each of nine moves brings to each cell, `CELLS` where there is none: shape (9, `CELLS`)."""
    rows, columns = np.divmod(np.arange(CELLS), SIDE)
    moves = []
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            row, column = rows + down, columns + right
            inside = (row >= 0) & (row < SIDE) & (column >= 0) & (column < SIDE)
            moves.append(np.where(inside, row * SIDE + column, CELLS))
    return np.array(moves)


_MOVES: Final = _moves()
_OUTSIDE: Final = _MOVES == CELLS
_FROM: Final = np.minimum(_MOVES, CELLS - 1)


class PatchCoder:
    """Makes sign codes of patches: whitened by the covariance of all patches that it was fitted on, then rotated.

    A bit says on which side of a random plane a patch lies, so that the share of bits in which two differ is the angle
    between them. 1 KiB an image tells templates apart as well as the numbers themselves do, at a quarter of the bytes.

    References:
        Charikar: Similarity estimation techniques from rounding algorithms. STOC 2002.
        Gong, Lazebnik, Gordo, Perronnin: Iterative quantization. IEEE TPAMI 35 (2013): PCA and a rotation before signs.
    """

    def __init__(self, mean: NDArray[Any], basis: NDArray[np.float32]) -> None:
        self._mean = mean.astype(np.float32)
        self._basis = basis
        """Shape (dimension, `BITS`)."""
        self._limits = self._mean @ basis

    @classmethod
    def fitted(cls, patches: Tokens) -> "PatchCoder":
        """Fit one on the patches of some images: shape (images, `SIDE`, `SIDE`, dimension)."""
        tokens = patches.reshape(-1, patches.shape[-1]).astype(np.float64)
        mean = tokens.mean(axis=0)
        centred = tokens - mean
        values, vectors = np.linalg.eigh(centred.T @ centred / len(tokens))
        values, vectors = values[::-1][:BITS], vectors[:, ::-1][:, :BITS]
        scale = np.sqrt(values + _SHRINK * values.mean() + np.finfo(np.float64).tiny)
        directions = np.random.default_rng(_SEED).normal(size=(values.size, BITS))
        if values.size >= BITS:
            directions = np.linalg.qr(directions)[0]
        return cls(mean, ((vectors / scale) @ directions).astype(np.float32))

    def codes(self, patches: Tokens) -> Codes:
        """Code the patches of one image or of several: (…, `SIDE`, `SIDE`, dimension) to (…, `CELLS`, `WORDS`)."""
        tokens = patches.reshape(*patches.shape[:-3], CELLS, patches.shape[-1])
        signs = tokens.astype(np.float32) @ self._basis > self._limits
        return np.packbits(signs, axis=-1).view(np.uint64)

    def state(self) -> tuple[Any, ...]:
        """Plain values."""
        return self._mean, self._basis

    @classmethod
    def of(cls, state: tuple[Any, ...]) -> "PatchCoder":
        """From a state."""
        return cls(*state)


def compared(codes: Codes, others: Codes) -> Floats:
    """How alike the patches of an image are to those of each of others, at the best of nine alignments.

    Args:
        codes: Of the image.
        others: Of the others, shape (n, `CELLS`, `WORDS`).

    Returns:
        Shape (n,), -1 to 1: about 0.1 for strangers, 1 for the same image.
    """
    differ = np.bitwise_count(codes[_FROM][None] ^ others[:, None])
    far = differ[..., 0] + differ[..., 1]
    far[:, _OUTSIDE] = 255
    best = np.partition(far, _BEST - 1, axis=-1)[..., :_BEST].sum(axis=-1, dtype=np.int64).min(axis=-1)
    alike: Floats = 1 - 2 * best / (_BEST * BITS)
    return alike
