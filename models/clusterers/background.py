"""The distribution of similarities between unrelated images, measured on the stream itself."""

from typing import Any, Final

import numpy as np

from models.arrays import Float64Array

_CAPACITY: Final = 2048
"""Scores in the ring buffer."""
_PRIOR_SCORES: Final = 64
"""Scores that the buffer starts with, from the assumed distribution."""
_PRIOR_SPREAD: Final = 1.3
"""They are spread evenly over the median plus or minus this many deviations."""
_LOWER_QUANTILE: Final = 0.16
"""Of a normal distribution, one deviation below the median."""
_MEASURE_EVERY: Final = 32
"""New scores after which median and deviation are measured again."""


class Background:
    """A sample of the scores of random pairs, which turns scores into z-scores (score normalisation).

    Nearly all random pairs are unrelated, but in a stream of few templates many are not. So the median and the
    deviation below it are used: pairs of one template, whose scores are high, do not move these.

    References:
        Auckenthaler, Carey, Lloyd-Thomas: Score normalization for text-independent speaker verification. 2000.
    """

    def __init__(self, median: float, deviation: float) -> None:
        """Start with an assumed distribution."""
        self._scores: Float64Array = np.zeros(_CAPACITY)
        self._count = _PRIOR_SCORES
        self._scores[:_PRIOR_SCORES] = median + deviation * np.linspace(-_PRIOR_SPREAD, _PRIOR_SPREAD, _PRIOR_SCORES)
        self._measure()

    def add(self, scores: Float64Array) -> None:
        """Add the scores of random pairs, shape (n,); a full buffer overwrites the oldest."""
        places = (self._count + np.arange(len(scores))) % _CAPACITY
        self._scores[places] = scores
        before, self._count = self._count, self._count + len(scores)
        if before // _MEASURE_EVERY != self._count // _MEASURE_EVERY:
            self._measure()

    def z_scores(self, scores: Float64Array) -> Float64Array:
        """Return how many deviations each score is above the median of random pairs, shape (n,)."""
        normalised: Float64Array = (scores - self._median) / self._deviation
        return normalised

    def _measure(self) -> None:
        scores = self._scores[: min(self._count, _CAPACITY)]
        lower, self._median = np.quantile(scores, (_LOWER_QUANTILE, 0.5)).tolist()
        self._deviation = max(self._median - lower, 1e-6)

    def state(self) -> dict[str, Any]:
        """Return a snapshot of builtins and arrays."""
        return {
            "scores": self._scores.copy(),
            "count": self._count,
            "median": self._median,
            "deviation": self._deviation,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a snapshot."""
        self._scores, self._count = state["scores"].copy(), state["count"]
        self._median, self._deviation = state["median"], state["deviation"]
