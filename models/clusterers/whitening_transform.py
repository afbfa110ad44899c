"""The whitening transform that embeddings are compared in, and how to fit it to clusters."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from core.records import Vector
from models.arrays import Float32Array, Float64Array, Int64Array
from models.clusterers.linkage import group_sums

_ISOTROPIC_WEIGHT: Final = 16.0
"""Weight of an isotropic covariance in the prior, where the total covariance has weight 1. Without it, the prior would
whiten away what distinguishes templates while these are few."""


@dataclass(frozen=True, slots=True)
class WhiteningTransform:
    """An affine map that subtracts a mean and scales directions, followed by normalisation to length 1."""

    mean: Float64Array
    """Shape (dimension,)."""
    matrix: Float64Array
    """Shape (dimension, directions); its values are float32 ones, so that a snapshot holds half the bytes."""
    trust: float
    """How much of it was measured rather than assumed (the prior), 0 to 1."""

    def apply(self, embeddings: Float32Array | Vector) -> Float32Array:
        """Whiten embeddings of shape (…, dimension).

        Computed in float64, so that a row gives the same result alone as in a batch.

        Returns:
            Unit vectors, shape (…, directions). An embedding that is the mean itself gives zeros.
        """
        moved = (embeddings - self.mean) @ self.matrix
        lengths = np.linalg.norm(moved, axis=-1, keepdims=True)
        points: Float32Array = (moved / np.where(lengths, lengths, 1.0)).astype(np.float32)
        return points

    def state(self) -> tuple[Float64Array, Float32Array, float]:
        """Return a snapshot: mean, matrix (float32) and trust."""
        return self.mean, self.matrix.astype(np.float32), self.trust

    @classmethod
    def of(cls, mean: Float64Array, matrix: Float32Array, trust: float) -> "WhiteningTransform":
        """Restore a snapshot."""
        return cls(mean, matrix.astype(np.float64), trust)


def fit_class_whitening(
    embeddings: Float32Array, slots: Int64Array, sizes: Int64Array, prior: float
) -> WhiteningTransform:
    """Fit the transform that whitens the within-cluster covariance (relevant component analysis).

    A few directions hold most of the differences between images of one template: its captions, its crops. They are
    measured within the current clusters and scaled down, so that templates separate better and the next clusters
    improve. While pairs of one cluster are few, a prior fills in: members of a cluster are assumed to differ in every
    direction, and more in those in which all embeddings differ most, because captions and crops cause much of that.

    Args:
        embeddings: Shape (n, dimension), at least two of them different.
        slots: The cluster of each, shape (n,), 0 to k - 1.
        sizes: Members of each cluster, shape (k,).
        prior: Weight of the prior, in degrees of freedom (the data has n - k).

    References:
        Bar-Hillel, Hertz, Shental, Weinshall: Learning distance functions using equivalence relations. ICML 2003
        (relevant component analysis).
        Hatch, Kajarekar, Stolcke: Within-class covariance normalization for SVM-based speaker recognition. 2006.
    """
    whole = embeddings.astype(np.float64)
    mean = whole.mean(axis=0)
    centred = whole - mean
    total = centred.T @ centred / len(whole)
    isotropic = np.trace(total) / len(total) * np.eye(len(total))
    centres = group_sums(embeddings, slots, len(sizes)) / sizes[:, None]
    within = whole - centres[slots]
    freedom = len(whole) - len(sizes)
    scatter = within.T @ within + prior * (total + _ISOTROPIC_WEIGHT * isotropic) / (1 + _ISOTROPIC_WEIGHT)
    values, vectors = np.linalg.eigh(scatter / (freedom + prior))
    return WhiteningTransform.of(mean, (vectors / np.sqrt(values)).astype(np.float32), freedom / (freedom + prior))
