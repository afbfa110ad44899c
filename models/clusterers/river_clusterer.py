"""Any clusterer of river's that takes numbers, by its name."""

import math
import pickle
from importlib.metadata import version
from typing import Any, Final

import numpy as np

from core.errors import BadRecordError, SettingsError
from core.records import Cluster, Vector
from models.clusterer import NO_CONTEXT, Clusterer, ImageContext, State

KINDS: Final = ("CluStream", "DBSTREAM", "DenStream", "KMeans", "STREAMKMeans")


class RiverClusterer(Clusterer):
    """River's own, over centred embeddings of length 1: to compare with, since ids are whatever it says.

    DenStream and DBSTREAM number their clusters anew now and then; the others have as many as they are told. The state
    holds river's object as bytes, which only the same river reads.
    """

    def __init__(self, kind: str, **parameters: Any) -> None:
        from river import cluster  # late: it takes a while, and each flow that starts names this class

        self.name = f"river-{kind.lower()}"
        try:
            self._river: Any = getattr(cluster, kind)(**parameters)
        except TypeError as error:
            raise SettingsError(f"MEMEWAX_CLUSTERER_PARAMETERS for {kind}: {error}") from None
        self._sum: Any = 0.0
        self._seen = 0
        self._labels: set[int] = set()

    def learn(self, embedding: Vector, context: ImageContext = NO_CONTEXT, *, cluster: int | None = None) -> Cluster:  # noqa: ARG002
        """Take in one embedding; the distance is to the nearest of river's centres, 0 where it tells none.

        Raises:
            BadRecordError: where a number of it is infinite or none, or there are more or fewer than before.
        """
        if not np.isfinite(embedding).all():
            raise BadRecordError("the embedding is not finite")
        if self._seen and embedding.shape != self._sum.shape:
            raise BadRecordError(f"the embedding has {embedding.size} numbers, those before it had {self._sum.size}")
        self._sum = self._sum + embedding.astype(np.float64)
        self._seen += 1
        centred = embedding - self._sum / (self._seen + 1)
        length = float(np.linalg.norm(centred))
        point = dict(enumerate((centred / length if length else centred).tolist()))
        self._river.learn_one(point)
        label = self._label(point)
        self._labels.add(label)
        centre = (getattr(self._river, "centers", None) or {}).get(label)
        distance = math.dist([centre.get(key, 0.0) for key in point], point.values()) if centre else 0.0
        return Cluster(label, distance)

    def count(self) -> int:
        """Clusters that something fell into."""
        return len(self._labels)

    @property
    def dimension(self) -> int | None:
        """Numbers of the mean."""
        return int(self._sum.size) if self._seen else None

    def state(self) -> State:
        """River's object as bytes, and which river wrote it."""
        return {
            "version": 1,
            "algorithm": self.name,
            "river": version("river"),
            "object": pickle.dumps(self._river),
            "sum": np.asarray(self._sum),
            "seen": self._seen,
            "labels": sorted(self._labels),
        }

    def restore(self, state: State) -> None:
        """Go on from a state of the same river; raises `SettingsError` for one of another."""
        if state["river"] != version("river"):
            raise SettingsError(
                f"the recovery folder holds {self.name} of river {state['river']} and this is {version('river')}: "
                "begin anew with an empty recovery folder"
            )
        self._river = pickle.loads(state["object"])  # noqa: S301 - from our own recovery folder
        self._sum, self._seen, self._labels = state["sum"].copy(), state["seen"], set(state["labels"])

    def _label(self, point: dict[int, float]) -> int:
        try:
            return int(self._river.predict_one(point))
        except (KeyError, ValueError, TypeError):  # some say nothing before they have seen many
            return 0
