"""How alike an image and exemplars are, how unusual that is, and what is asked of two of one cluster."""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.clusterers.background import Background
from models.clusterers.exemplars import Floats, Numbers, Points
from models.clusterers.gallery import ExemplarGallery, Probe
from models.clusterers.patches import compared
from models.clusterers.verified_parameters import VerifiedParameters

_DRAWN: Final = 16
"""Exemplars drawn at a time to measure what chance makes."""
_DRAW_EVERY: Final = 4
"""Posts after which some are drawn again."""


class PairScores:
    """Scores of pairs, in deviations above what chance makes; pairs with patches and without have each their own."""

    def __init__(self, parameters: VerifiedParameters, gallery: ExemplarGallery) -> None:
        self._is = parameters
        self._gallery = gallery
        self._verified, self._plain = Background(0.11, 0.045), Background(0.0, 0.08)

    def unusual(self, probe: Probe, rows: Numbers, cosines: Points | None = None) -> Floats:
        """How far above chance the similarity of an image and exemplars is, in deviations: shape (rows,)."""
        if cosines is None:
            cosines = self._gallery.cosines(probe, rows)
        alike, coded = self._similar(probe, rows, cosines)
        return np.where(coded, self._verified.unusual(alike), self._plain.unusual(alike))

    def limits(self, probe: Probe, rows: Numbers) -> Floats:
        """What the score of an image and exemplars must be above for them to be of one cluster: shape (rows,)."""
        crowd = self._is.crowd * math.log(min(max(1, self._gallery.distinct), self._is.crowded))
        if probe.codes is None:
            return np.full(len(rows), self._is.join_plain + crowd)
        return np.where(self._gallery.fixed["coded"][rows], self._is.join, self._is.join_plain) + crowd

    def draw(self, probe: Probe, time: int) -> None:
        """Compare some posts with exemplars drawn at random: which ones is a function of the time, in posts."""
        if time % _DRAW_EVERY:
            return
        rows = (time * 2654435761 + 40503 * np.arange(_DRAWN) ** 2) % len(self._gallery)
        alike, coded = self._similar(probe, rows, self._gallery.cosines(probe, rows))
        self._verified.add(alike[coded])
        self._plain.add(alike[~coded])

    def state(self) -> dict[str, Any]:
        """Plain values."""
        return {"verified": self._verified.state(), "plain": self._plain.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self._verified.restore(state["verified"])
        self._plain.restore(state["plain"])

    def _similar(self, probe: Probe, rows: Numbers, cosines: Points) -> tuple[Floats, NDArray[np.bool_]]:
        """The similarity of an image and exemplars, and for which of them a second look was possible."""
        gallery, alike = self._gallery, cosines.astype(np.float64)
        coded = gallery.fixed["coded"][rows] if probe.codes is not None else np.zeros(len(rows), np.bool_)
        if probe.codes is not None and coded.any():
            assert gallery.space is not None
            weight = self._is.weight * gallery.space.trust
            alike[coded] = compared(probe.codes, gallery.fixed["codes"][rows[coded]]) + weight * alike[coded]
        return alike, coded
