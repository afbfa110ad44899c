"""How alike images are by chance, measured on the stream itself."""

from typing import Any, Final

import numpy as np

from models.clusterers.exemplars import Floats

_KEPT: Final = 2048
"""Scores of pairs that are kept, the last ones."""
_ASSUMED: Final = 64
"""Scores that stand for what is assumed before pairs were drawn."""
_SPREAD: Final = 1.3
"""Deviations to either side over which these are spread."""
_LOWER: Final = 0.16
"""The quantile one deviation below the median."""


class Background:
    """Scores of pairs that were drawn at random, and how far above them a score is.

    Nearly all such pairs are strangers, but in a stream of few templates many are not. So what counts is the median and
    the deviation below it, which pairs of one template do not move.

    References:
        Auckenthaler, Carey, Lloyd-Thomas: Score normalization for text-independent speaker verification. 2000.
    """

    def __init__(self, median: float, deviation: float) -> None:
        """Begin with what is assumed."""
        self._scores: Floats = np.zeros(_KEPT)
        self._count = _ASSUMED
        self._scores[:_ASSUMED] = median + deviation * np.linspace(-_SPREAD, _SPREAD, _ASSUMED)
        self._measure()

    def add(self, scores: Floats) -> None:
        """Take in the scores of pairs; the oldest ones go where there are too many."""
        places = (self._count + np.arange(len(scores))) % _KEPT
        self._scores[places] = scores
        before, self._count = self._count, self._count + len(scores)
        if before // 32 != self._count // 32:
            self._measure()

    def unusual(self, scores: Floats) -> Floats:
        """How many deviations scores are above what chance makes."""
        unusual: Floats = (scores - self._median) / self._deviation
        return unusual

    def _measure(self) -> None:
        lower, self._median = np.quantile(self._scores[: min(self._count, _KEPT)], (_LOWER, 0.5)).tolist()
        self._deviation = max(self._median - lower, 1e-6)

    def state(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "scores": self._scores.copy(),
            "count": self._count,
            "median": self._median,
            "deviation": self._deviation,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self._scores, self._count = state["scores"].copy(), state["count"]
        self._median, self._deviation = state["median"], state["deviation"]
