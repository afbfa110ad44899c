"""PCA whitening, fitted online to the covariance of all embeddings of a stream."""

from typing import Any, Final

import numpy as np

from core.records import Vector
from models.arrays import Float64Array
from models.clusterers.whitening_transform import WhiteningTransform

DIRECTIONS: Final = 128
"""Principal components that are kept; fewer if the embedding dimension is smaller."""
_PRIOR: Final = 100.0
"""Weight of the prior (isotropic covariance), in embeddings."""
_SHRINK: Final = 0.1
"""Share of the mean variance that is added to each direction, so that weak directions are not blown up."""
_MIN_VARIANCE: Final = 1e-12
"""Added to each direction. It is below any variance of real embeddings, and avoids division by 0 if all are equal."""
_BATCH: Final = 64
"""Embeddings that are added to the covariance at a time: one matrix product is faster than as many outer products."""


class RunningCovariance:
    """Running mean and covariance of all embeddings seen so far."""

    def __init__(self, dimension: int) -> None:
        self.count = 0
        """Embeddings seen."""
        self._sum: Float64Array = np.zeros(dimension)
        self._products: Float64Array = np.zeros((dimension, dimension))
        self._waiting: list[Vector] = []

    def add(self, embedding: Vector) -> None:
        """Add one embedding, shape (dimension,)."""
        self.count += 1
        self._waiting.append(embedding)
        if len(self._waiting) == _BATCH:
            self._flush()

    def fit_whitening(self) -> WhiteningTransform:
        """Fit a transform from `dimension` to `DIRECTIONS`; needs at least two embeddings.

        The directions in which most images differ count little after whitening, and unrelated images have a cosine of
        about 0. The covariance is that of the whole stream, most of which is one of a kind, rather than that within
        clusters. So a wrong cluster cannot confirm itself.

        References:
            Jegou, Chum: Negative evidences and co-occurences in image retrieval: the benefit of PCA and
            whitening. ECCV 2012.
        """
        self._flush()
        mean = self._sum / self.count
        covariance = self._products / self.count - np.outer(mean, mean)
        isotropic = np.trace(covariance) / len(mean) * np.eye(len(mean))
        values, vectors = np.linalg.eigh((covariance * self.count + isotropic * _PRIOR) / (self.count + _PRIOR))
        values, vectors = values[::-1][:DIRECTIONS], vectors[:, ::-1][:, :DIRECTIONS]
        scale = np.sqrt(values.clip(0) + _SHRINK * values.mean() + _MIN_VARIANCE)
        return WhiteningTransform.of(mean, (vectors / scale).astype(np.float32), self.count / (self.count + _PRIOR))

    def _flush(self) -> None:
        if self._waiting:
            rows = np.array(self._waiting, np.float64)
            self._sum = self._sum + rows.sum(axis=0)
            self._products = self._products + rows.T @ rows
            self._waiting.clear()

    def state(self) -> dict[str, Any]:
        """Return a snapshot of arrays. It holds the upper half of the products, because the matrix is symmetric."""
        upper = np.triu_indices(len(self._sum))
        return {
            "count": self.count,
            "sum": self._sum.copy(),
            "products": self._products[upper],
            "waiting": np.array(self._waiting, np.float32),
        }

    @classmethod
    def of(cls, state: dict[str, Any]) -> "RunningCovariance":
        """Restore a snapshot."""
        made = cls(len(state["sum"]))
        made.count, made._sum = state["count"], state["sum"].copy()
        upper = np.triu_indices(len(made._sum))
        made._products[upper] = state["products"]
        made._products.T[upper] = state["products"]
        made._waiting = list(state["waiting"])
        return made
