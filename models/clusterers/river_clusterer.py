"""Adapter from river's clusterers to `Clusterer`."""

import math
import pickle
from importlib.metadata import version
from typing import Any, Final

import numpy as np

from core.errors import SettingsError
from core.records import Cluster, Vector
from models.clusterer import NO_CONTEXT, Clusterer, ImageContext, State
from models.clusterers.running_mean import RunningMean

KINDS: Final = ("CluStream", "DBSTREAM", "DenStream", "KMeans", "STREAMKMeans")
"""Classes of `river.cluster`."""


class RiverClusterer(Clusterer):
    """One of river's clusterers over centred unit embeddings: a baseline, because its ids are not stable.

    DenStream and DBSTREAM renumber their clusters now and then; the others have a fixed number of clusters. A snapshot
    holds the pickled river object, which only the same version of river can read.
    """

    def __init__(self, kind: str, **parameters: Any) -> None:
        from river import cluster  # imported late: it takes a while, and every flow imports this module

        self.name = f"river-{kind.lower()}"
        try:
            self._river: Any = getattr(cluster, kind)(**parameters)
        except TypeError as error:
            raise SettingsError(f"MEMEWAX_CLUSTERER_PARAMETERS for {kind}: {error}") from None
        self._mean = RunningMean()
        self._labels: set[int] = set()

    def learn(self, embedding: Vector, context: ImageContext = NO_CONTEXT, *, cluster: int | None = None) -> Cluster:  # noqa: ARG002
        """Learn one embedding; the distance is to the centre of its cluster, 0 if river has no centres.

        Raises:
            BadRecordError: If it is not finite, or its dimension differs from that of the embeddings before.
        """
        point = dict(enumerate(self._mean.centre(embedding).tolist()))
        self._mean.add(embedding)
        self._river.learn_one(point)
        label = self._label(point)
        self._labels.add(label)
        centre = (getattr(self._river, "centers", None) or {}).get(label)
        distance = math.dist([centre.get(key, 0.0) for key in point], point.values()) if centre else 0.0
        return Cluster(label, distance)

    def predict(self, embedding: Vector, context: ImageContext = NO_CONTEXT) -> int | None:  # noqa: ARG002
        """Return the cluster that river predicts, or None before the first embedding."""
        point = dict(enumerate(self._mean.centre(embedding).tolist()))
        return self._label(point) if self._mean.seen else None

    def count(self) -> int:
        """Count the clusters that an embedding was assigned to."""
        return len(self._labels)

    @property
    def dimension(self) -> int | None:
        """Return the embedding dimension, or None before the first embedding."""
        return self._mean.dimension

    def state(self) -> State:
        """Return a snapshot: the pickled river object, the version of river, mean and labels."""
        return {
            "version": 1,
            "algorithm": self.name,
            "river": version("river"),
            "object": pickle.dumps(self._river),
            "sum": np.asarray(self._mean.sum),
            "seen": self._mean.seen,
            "labels": sorted(self._labels),
        }

    def restore(self, state: State) -> None:
        """Restore a snapshot; raises `SettingsError` if another version of river wrote it."""
        if state["river"] != version("river"):
            raise SettingsError(
                f"the recovery folder holds {self.name} of river {state['river']}, and river {version('river')} is "
                f"installed: install river {state['river']}, or start with an empty recovery folder"
            )
        self._river = pickle.loads(state["object"])  # noqa: S301 - from our own recovery folder
        self._mean, self._labels = RunningMean(state["sum"].copy(), state["seen"]), set(state["labels"])

    def _label(self, point: dict[int, float]) -> int:
        try:
            return int(self._river.predict_one(point))
        except (KeyError, ValueError, TypeError):  # some cannot predict before they have learned many items
            return 0
