"""Scores of an image against exemplars, as z-scores above chance, and the limits for joining a cluster."""

import math
from typing import Any, Final

import numpy as np

from models.arrays import BoolArray, Float32Array, Float64Array, Int64Array
from models.clusterers.background import Background
from models.clusterers.gallery import ExemplarGallery, Probe
from models.clusterers.patches import patch_similarities
from models.clusterers.verified_parameters import VerifiedParameters

_SAMPLED_EXEMPLARS: Final = 16
"""Exemplars that a post is compared with at random, to measure the background distribution."""
_SAMPLE_EVERY: Final = 4
"""Posts between two samples."""


class PairScores:
    """Scores of pairs as z-scores above random pairs. Pairs with patches and pairs without have a background each."""

    def __init__(self, parameters: VerifiedParameters, gallery: ExemplarGallery) -> None:
        self._parameters = parameters
        self._gallery = gallery
        self._verified, self._plain = Background(0.11, 0.045), Background(0.0, 0.08)

    def z_scores(self, probe: Probe, rows: Int64Array, cosines: Float32Array | None = None) -> Float64Array:
        """Return the z-score of each pair of the image and an exemplar.

        Args:
            probe: The image.
            rows: Rows of the exemplars in the gallery, shape (n,).
            cosines: Cosines of the pairs, shape (n,); None: they are computed.

        Returns:
            Shape (n,), in deviations above the median of random pairs.
        """
        if cosines is None:
            cosines = self._gallery.cosines(probe, rows)
        similarities, coded = self._similarities(probe, rows, cosines)
        return np.where(coded, self._verified.z_scores(similarities), self._plain.z_scores(similarities))

    def limits(self, probe: Probe, rows: Int64Array) -> Float64Array:
        """Return the z-score that each pair must exceed to be of one cluster, shape (n,), for `rows` of shape (n,)."""
        crowd = self._parameters.crowd * math.log(
            min(max(1, self._gallery.distinct_clusters), self._parameters.crowded)
        )
        if probe.codes is None:
            return np.full(len(rows), self._parameters.join_plain + crowd)
        return np.where(self._gallery.fixed["coded"][rows], self._parameters.join, self._parameters.join_plain) + crowd

    def sample(self, probe: Probe, time: int) -> None:
        """Add random pairs of every fourth post to the background.

        The exemplars are a function of `time`, counted in posts, so that a run restored from a snapshot samples alike.
        """
        if time % _SAMPLE_EVERY:
            return
        rows = (time * 2654435761 + 40503 * np.arange(_SAMPLED_EXEMPLARS) ** 2) % len(self._gallery)
        similarities, coded = self._similarities(probe, rows, self._gallery.cosines(probe, rows))
        self._verified.add(similarities[coded])
        self._plain.add(similarities[~coded])

    def state(self) -> dict[str, Any]:
        """Return a snapshot of builtins and arrays."""
        return {"verified": self._verified.state(), "plain": self._plain.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a snapshot."""
        self._verified.restore(state["verified"])
        self._plain.restore(state["plain"])

    def _similarities(self, probe: Probe, rows: Int64Array, cosines: Float32Array) -> tuple[Float64Array, BoolArray]:
        """Return the similarity of each pair, and whether both have patches that could be compared: shapes (n,)."""
        gallery, similarities = self._gallery, cosines.astype(np.float64)
        coded = gallery.fixed["coded"][rows] if probe.codes is not None else np.zeros(len(rows), np.bool_)
        if probe.codes is not None and coded.any():
            assert gallery.whitening is not None
            weight = self._parameters.weight * gallery.whitening.trust
            by_patches = patch_similarities(probe.codes, gallery.fixed["codes"][rows[coded]])
            similarities[coded] = by_patches + weight * similarities[coded]
        return similarities, coded
