"""Whitening: a space in which all that the stream shows differs alike in every direction."""

from typing import Any, Final

import numpy as np

from core.records import Vector
from models.clusterers.exemplars import Floats
from models.clusterers.whitening_transform import WhiteningTransform

DIRECTIONS: Final = 128
_PRIOR: Final = 100.0
"""Images that the assumption counts for, that embeddings differ alike in all directions."""
_SHRINK: Final = 0.1
"""Share of the mean variance of the directions that is added to each, so that weak ones are not blown up."""
_LEAST: Final = 1e-12
"""Variance that is added to each, below any that embeddings have: where all are the same image there is none."""
_GATHER: Final = 64
"""Embeddings that are taken in together: a product of matrices is faster than as many of vectors."""


class RunningCovariance:
    """Mean and covariance of all embeddings that it was shown."""

    def __init__(self, dimension: int) -> None:
        self.count = 0
        self._sum: Floats = np.zeros(dimension)
        self._products: Floats = np.zeros((dimension, dimension))
        self._waiting: list[Vector] = []

    def add(self, embedding: Vector) -> None:
        """Take in one embedding."""
        self.count += 1
        self._waiting.append(embedding)
        if len(self._waiting) == _GATHER:
            self._gather()

    def whitening(self) -> WhiteningTransform:
        """Make the space of what was seen so far; needs two embeddings.

        What most images differ by counts little there, and strangers have a cosine of about 0. It is learned from all
        that comes, most of which is one of a kind: so no cluster teaches it, and a wrong cluster cannot confirm itself.

        References:
            Jegou, Chum: Negative evidences and co-occurences in image retrieval: the benefit of PCA and
            whitening. ECCV 2012.
        """
        self._gather()
        mean = self._sum / self.count
        covariance = self._products / self.count - np.outer(mean, mean)
        even = np.trace(covariance) / len(mean) * np.eye(len(mean))
        values, vectors = np.linalg.eigh((covariance * self.count + even * _PRIOR) / (self.count + _PRIOR))
        values, vectors = values[::-1][:DIRECTIONS], vectors[:, ::-1][:, :DIRECTIONS]
        scale = np.sqrt(values.clip(0) + _SHRINK * values.mean() + _LEAST)
        return WhiteningTransform.of(mean, (vectors / scale).astype(np.float32), self.count / (self.count + _PRIOR))

    def _gather(self) -> None:
        if self._waiting:
            rows = np.array(self._waiting, np.float64)
            self._sum = self._sum + rows.sum(axis=0)
            self._products = self._products + rows.T @ rows
            self._waiting.clear()

    def state(self) -> dict[str, Any]:
        """Plain values; of the products the upper half, which tells the other."""
        upper = np.triu_indices(len(self._sum))
        return {
            "count": self.count,
            "sum": self._sum.copy(),
            "products": self._products[upper],
            "waiting": np.array(self._waiting, np.float32),
        }

    @classmethod
    def of(cls, state: dict[str, Any]) -> "RunningCovariance":
        """From a state."""
        made = cls(len(state["sum"]))
        made.count, made._sum = state["count"], state["sum"].copy()
        upper = np.triu_indices(len(made._sum))
        made._products[upper] = state["products"]
        made._products.T[upper] = state["products"]
        made._waiting = list(state["waiting"])
        return made
