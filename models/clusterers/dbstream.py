"""DBSTREAM over centred embeddings: what clustered before relevant components did, and still can."""

from typing import Any, Final

import numpy as np

from core.errors import BadRecordError
from core.records import Cluster, ClusterEvent, Vector
from models.clusterer import NO_CONTEXT, Clusterer, ImageContext, State
from models.clusterers.vector_dbstream import FloatArray, VectorDBSTREAM

_RADIUS: Final = 0.9
_FADING: Final = 1e-4
_CLEANUP: Final = 1000
"""Embeddings after which a micro-cluster that only one fell into begins to be forgotten."""


class DbstreamClusterer(Clusterer):
    """DBSTREAM over centred embeddings, a cluster being one of its micro-clusters.

    Embeddings of one image model share a large mean, which hides their differences. So the running mean is taken off
    and the rest scaled to length 1; there a distance of 0.9 is an angle of 53 degrees. A micro-cluster that nothing
    fell into for long fades away, and its id never comes back. None are merged.
    """

    name = "dbstream"

    def __init__(self, **parameters: Any) -> None:
        self._dbstream = VectorDBSTREAM(
            **{
                "clustering_threshold": _RADIUS,
                "fading_factor": _FADING,
                "cleanup_interval": _CLEANUP,
                **parameters,
            }
        )
        self._sum: Any = 0.0
        self._seen = 0
        self._ids: dict[int, int] = {}
        """DBSTREAM's keys, which it uses again, to ids for life."""
        self._next_id = 0
        self._events: list[ClusterEvent] = []

    def learn(self, embedding: Vector, context: ImageContext = NO_CONTEXT, *, cluster: int | None = None) -> Cluster:  # noqa: ARG002
        """Take in one embedding; the distance is Euclidean between centred unit vectors, 0 to 2.

        Raises:
            BadRecordError: where a number of it is infinite or none, or there are more or fewer than before.
        """
        if not np.isfinite(embedding).all():
            raise BadRecordError("the embedding is not finite")
        if self._seen and embedding.shape != self._sum.shape:
            raise BadRecordError(f"the embedding has {embedding.size} numbers, those before it had {self._sum.size}")
        point = self._centred(embedding)
        self._dbstream.learn(point)
        # Densities shared by micro-clusters serve to put these together, which is not asked for here.
        self._dbstream.forget_shared()
        if self._dbstream.time % self._dbstream.cleanup_interval == 0:
            for key in self._ids.keys() - set(self._dbstream.keys):
                self._events.append(ClusterEvent("retire", self._ids.pop(key)))
        row = int(self._dbstream.distances(point).argmin())
        key = self._dbstream.keys[row]
        if key not in self._ids:
            self._ids[key] = self._next_id
            self._events.append(ClusterEvent("birth", self._next_id))
            self._next_id += 1
        return Cluster(self._ids[key], float(np.linalg.norm(self._dbstream.centres[row] - point)))

    def begin_above(self, highest: int) -> None:
        """Give no id up to `highest`."""
        self._next_id = max(self._next_id, highest + 1)

    def events(self) -> list[ClusterEvent]:
        """Births and retirements since the last call."""
        events, self._events = self._events, []
        return events

    def count(self) -> int:
        """Micro-clusters that something fell into."""
        return len(self._ids)

    @property
    def dimension(self) -> int | None:
        """Numbers of the mean."""
        return int(self._sum.size) if self._seen else None

    def state(self) -> State:
        """Mean, micro-clusters and ids."""
        return {
            "version": 1,
            "algorithm": self.name,
            "sum": np.asarray(self._sum),
            "seen": self._seen,
            "ids": dict(self._ids),
            "next_id": self._next_id,
            "keys": list(self._dbstream.keys),
            "centres": self._dbstream.centres.copy(),
            "updated": self._dbstream.updated.tolist(),
            "weights": self._dbstream.weights.tolist(),
            "time": self._dbstream.time,
        }

    def restore(self, state: State) -> None:
        """Go on from a state."""
        self._sum, self._seen = state["sum"].copy(), state["seen"]
        self._ids, self._next_id = dict(state["ids"]), state["next_id"]
        if state["keys"]:
            self._dbstream.fill(state["keys"], state["centres"], state["weights"], state["updated"], state["time"])

    def _centred(self, embedding: Vector) -> FloatArray:
        self._sum = self._sum + embedding.astype(np.float64)
        self._seen += 1
        # The mean of few is mostly those few themselves, so it counts in full only when there are many.
        centred: FloatArray = embedding - self._sum / (self._seen + 1)
        length = float(np.linalg.norm(centred))
        return centred / length if length else centred
