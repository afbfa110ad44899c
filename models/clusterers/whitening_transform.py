"""The space in which embeddings are compared, and how it is learned from the clusters themselves."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from core.records import Vector
from models.clusterers.exemplars import Floats, Numbers, Points
from models.clusterers.linkage import group_sums

_EVEN: Final = 16.0
"""Weight of a scatter that is the same in all directions, that of all embeddings having 1: alone, the latter would hide
what templates differ by where these are few."""


@dataclass(frozen=True, slots=True)
class WhiteningTransform:
    """A mean that is taken off, and directions that are scaled."""

    mean: Floats
    transform: Floats
    """Shape (dimension, directions), of float32 numbers."""
    trust: float
    """How much of it was learned rather than assumed, 0 to 1."""

    def points(self, embeddings: Points | Vector) -> Points:
        """Place embeddings: unit vectors, shape (…, directions).

        Computed in twice the precision they are kept in, so that one row alone gives what it gives among others.
        """
        moved = (embeddings - self.mean) @ self.transform
        lengths = np.linalg.norm(moved, axis=-1, keepdims=True)
        points: Points = (moved / np.where(lengths, lengths, 1.0)).astype(np.float32)
        return points

    def state(self) -> tuple[Floats, Points, float]:
        """Plain values."""
        return self.mean, self.transform.astype(np.float32), self.trust

    @classmethod
    def of(cls, mean: Floats, transform: Points, trust: float) -> "WhiteningTransform":
        """From a state."""
        return cls(mean, transform.astype(np.float64), trust)


def fit_class_whitening(embeddings: Points, slots: Numbers, sizes: Numbers, prior: float) -> WhiteningTransform:
    """The space in which the clusters' own scatter is a sphere.

    A few directions hold most of what images of one template differ by: its caption, its crop. Measured within the
    clusters that there are, these directions are shrunk, so that templates stand apart and the next clusters get
    better. Until pairs are many, it is assumed that members of a cluster differ in every direction, and more in those
    in which all embeddings differ most: what captions and crops do is much of what there is to see.

    Args:
        embeddings: Shape (n, dimension), at least two of them different.
        slots: The cluster of each, 0 to k - 1.
        sizes: Members of each cluster, shape (k,).
        prior: Degrees of freedom that the assumption counts for.

    References:
        Bar-Hillel, Hertz, Shental, Weinshall: Learning distance functions using equivalence relations. ICML 2003
        (relevant component analysis).
        Hatch, Kajarekar, Stolcke: Within-class covariance normalization for SVM-based speaker recognition. 2006.
    """
    whole = embeddings.astype(np.float64)
    mean = whole.mean(axis=0)
    centred = whole - mean
    total = centred.T @ centred / len(whole)
    even = np.trace(total) / len(total) * np.eye(len(total))
    centres = group_sums(embeddings, slots, len(sizes)) / sizes[:, None]
    within = whole - centres[slots]
    freedom = len(whole) - len(sizes)
    scatter = within.T @ within + prior * (total + _EVEN * even) / (1 + _EVEN)
    values, vectors = np.linalg.eigh(scatter / (freedom + prior))
    return WhiteningTransform.of(mean, (vectors / np.sqrt(values)).astype(np.float32), freedom / (freedom + prior))
