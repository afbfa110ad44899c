"""Verify candidate pairs of images: compare their patches at the same positions (spatial verification)."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.arrays import Float32Array, Float64Array

SIDE: Final = 8
"""Patches along each side of the grid."""
CELLS: Final = SIDE * SIDE
"""Patches of an image: 64."""
BITS: Final = 128
"""Length of a patch's code."""
WORDS: Final = BITS // 64
"""Length of a patch's code in uint64 words: 2."""
_COMPARED_CELLS: Final = 28
"""The most similar patches, by which images are compared: a bit more than half of the 49 that two grids still share if
one is shifted diagonally. Captions, bars and watermarks cover those of the other half."""
_SHRINK: Final = 0.05
"""Share of the mean variance that is added to each direction, so that weak directions are not blown up."""
_SEED: Final = 1

Codes = NDArray[np.uint64]
"""Binary codes of one image's patches: uint64, shape (`CELLS`, `WORDS`)."""
Tokens = NDArray[Any]
"""Embeddings of patches, int8 or float: shape (…, `SIDE`, `SIDE`, dimension)."""


def _shifts() -> NDArray[np.int64]:
    """Return the source cell of each cell for nine shifts by up to one cell, shape (9, `CELLS`); `CELLS`: outside."""
    rows, columns = np.divmod(np.arange(CELLS), SIDE)
    shifts = []
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            row, column = rows + down, columns + right
            inside = (row >= 0) & (row < SIDE) & (column >= 0) & (column < SIDE)
            shifts.append(np.where(inside, row * SIDE + column, CELLS))
    return np.array(shifts)


_SHIFTS: Final = _shifts()
_OUTSIDE: Final = _SHIFTS == CELLS
_SOURCES: Final = np.minimum(_SHIFTS, CELLS - 1)


class PatchCoder:
    """Binary codes of patches: PCA whitening, a random rotation, then the sign of each coordinate.

    A bit says on which side of a random hyperplane a patch lies, so the Hamming distance of two codes is proportional
    to the angle between the patches. 1 KiB per image distinguishes templates as well as the embeddings do, in a quarter
    of the space.

    References:
        Charikar: Similarity estimation techniques from rounding algorithms. STOC 2002.
        Gong, Lazebnik, Gordo, Perronnin: Iterative quantization. IEEE TPAMI 35 (2013): PCA and a rotation before signs.
    """

    def __init__(self, mean: NDArray[Any], basis: Float32Array) -> None:
        """Use a fitted mean, shape (dimension,), and basis, shape (dimension, `BITS`)."""
        self._mean = mean.astype(np.float32)
        self._basis = basis
        self._limits = self._mean @ basis

    @classmethod
    def fit(cls, patches: Tokens) -> "PatchCoder":
        """Fit a coder to the patches of some images: shape (images, `SIDE`, `SIDE`, dimension)."""
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
        """Encode the patches of one or more images: (…, `SIDE`, `SIDE`, dimension) to uint64 (…, `CELLS`, `WORDS`)."""
        tokens = patches.reshape(*patches.shape[:-3], CELLS, patches.shape[-1])
        signs = tokens.astype(np.float32) @ self._basis > self._limits
        return np.packbits(signs, axis=-1).view(np.uint64)

    def state(self) -> tuple[Any, ...]:
        """Return a snapshot: mean and basis."""
        return self._mean, self._basis

    @classmethod
    def of(cls, state: tuple[Any, ...]) -> "PatchCoder":
        """Restore a snapshot."""
        return cls(*state)


def patch_similarities(codes: Codes, others: Codes) -> Float64Array:
    """Compare the patches of an image with those of others, each at the best of nine alignments (shifts by one cell).

    Args:
        codes: Of the image, shape (`CELLS`, `WORDS`).
        others: Of n others, shape (n, `CELLS`, `WORDS`).

    Returns:
        Shape (n,), -1 to 1: about 0.1 for unrelated images, 1 for the same image.
    """
    differing = np.bitwise_count(codes[_SOURCES][None] ^ others[:, None])
    distances = differing[..., 0] + differing[..., 1]
    distances[:, _OUTSIDE] = 255
    smallest = np.partition(distances, _COMPARED_CELLS - 1, axis=-1)[..., :_COMPARED_CELLS]
    best = smallest.sum(axis=-1, dtype=np.int64).min(axis=-1)
    similarities: Float64Array = 1 - 2 * best / (_COMPARED_CELLS * BITS)
    return similarities
