"""What a reduction keeps: neighbours of held-out vectors, and the judgement of people about pairs of sentences."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from core.extras import needs_extra
from search.recall import Recall
from search.reduction import Projection
from search.reduction_training import reduced_recall
from search.vector_index import FlatIndex, FloatMatrix

_HELD_OUT: Final = 1000
"""Vectors to choose by, and as many to report; of a small corpus a tenth each."""
_SEED: Final = 0


@dataclass(frozen=True, slots=True)
class Split:
    """A corpus in three parts; only `train` is searched and learned from."""

    train: FloatMatrix
    choose: FloatMatrix
    """Held out, to choose the best epoch by."""
    test: FloatMatrix
    """Held out, to report."""

    @classmethod
    def of(cls, vectors: FloatMatrix) -> Self:
        """Part at random, the same each time."""
        order = np.random.default_rng(_SEED).permutation(len(vectors))
        size = min(_HELD_OUT, len(vectors) // 10)
        return cls(vectors[order[2 * size :]], vectors[order[:size]], vectors[order[size : 2 * size]])

    def recall(self, projection: Projection) -> Recall:
        """Share of the neighbours of the test vectors in full space that are found in reduced space."""
        right = FlatIndex.of(self.train).search(self.test, 10)
        return reduced_recall(projection, self.train, self.test, right)


@dataclass(frozen=True, slots=True)
class Judged:
    """Pairs of sentences as vectors, with the likeness that people gave them."""

    first: FloatMatrix
    second: FloatMatrix
    scores: FloatMatrix

    def spearman(self, projection: Projection | None = None) -> float:
        """Rank correlation of cosine and judgement, -1 to 1."""
        with needs_extra("corpus", "the rank correlation"):
            from scipy.stats import spearmanr

        first, second = self.first, self.second
        if projection is not None:
            first, second = projection(first), projection(second)
        return float(spearmanr(np.einsum("nd,nd->n", first, second), self.scores).statistic)
