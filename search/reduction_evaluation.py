"""Evaluation of a reduction: recall on held-out vectors, and rank correlation with human similarity scores."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from core.extras import needs_extra
from search.recall import Recall
from search.reduction import Projection
from search.reduction_training import reduced_recall
from search.vector_index import FlatIndex, FloatMatrix

_HELD_OUT: Final = 1000
"""Size of the validation and of the test set; a tenth each for a small corpus."""
_SEED: Final = 0


@dataclass(frozen=True, slots=True)
class Split:
    """A corpus split into training, validation and test vectors, each of shape (n, dimension)."""

    train: FloatMatrix
    """Learned from, and the vectors that are searched."""
    choose: FloatMatrix
    """Validation set: queries that choose the best epoch."""
    test: FloatMatrix
    """Test set: queries whose recall is reported."""

    @classmethod
    def of(cls, vectors: FloatMatrix) -> Self:
        """Split at random with a fixed seed."""
        order = np.random.default_rng(_SEED).permutation(len(vectors))
        size = min(_HELD_OUT, len(vectors) // 10)
        return cls(vectors[order[2 * size :]], vectors[order[:size]], vectors[order[size : 2 * size]])

    def recall(self, projection: Projection) -> Recall:
        """Measure which share of the neighbours of the test vectors in full space are found in reduced space."""
        right = FlatIndex.of(self.train).search(self.test, 10)
        return reduced_recall(projection, self.train, self.test, right)


@dataclass(frozen=True, slots=True)
class Judged:
    """Embedded pairs of sentences with human similarity scores (an STS data set)."""

    first: FloatMatrix
    """Shape (pairs, dimension)."""
    second: FloatMatrix
    """Shape (pairs, dimension)."""
    scores: FloatMatrix
    """Shape (pairs,)."""

    def spearman(self, projection: Projection | None = None) -> float:
        """Return Spearman's rank correlation of cosine and human score, -1 to 1."""
        with needs_extra("corpus", "the rank correlation"):
            from scipy.stats import spearmanr

        first, second = self.first, self.second
        if projection is not None:
            first, second = projection(first), projection(second)
        return float(spearmanr(np.einsum("nd,nd->n", first, second), self.scores).statistic)
