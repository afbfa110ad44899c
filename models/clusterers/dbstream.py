"""DBSTREAM over centred embeddings: the default before relevant component analysis, and still available."""

from typing import Any, Final

import numpy as np

from core.records import Cluster, ClusterEvent, Vector
from models.clusterer import NO_CONTEXT, Clusterer, ImageContext, State
from models.clusterers.running_mean import RunningMean
from models.clusterers.vector_dbstream import VectorDBSTREAM

_RADIUS: Final = 0.9
_FADING: Final = 1e-4
_CLEANUP: Final = 1000
"""Embeddings after which a micro-cluster of a single embedding is removed."""


class DbstreamClusterer(Clusterer):
    """DBSTREAM over centred embeddings; each of its micro-clusters is a cluster.

    Embeddings of one image model share a large mean, which hides their differences. So the running mean is subtracted
    and the rest scaled to length 1; a distance of 0.9 is then an angle of 53 degrees. A micro-cluster that receives no
    embedding for long fades away, and its id is never used again. Clusters are never merged.
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
        self._mean = RunningMean()
        self._ids: dict[int, int] = {}
        """Permanent ids by DBSTREAM's keys, which it reuses."""
        self._next_id = 0
        self._events: list[ClusterEvent] = []

    def learn(self, embedding: Vector, context: ImageContext = NO_CONTEXT, *, cluster: int | None = None) -> Cluster:  # noqa: ARG002
        """Learn one embedding; the distance is Euclidean between centred unit vectors, 0 to 2.

        Raises:
            BadRecordError: If it is not finite, or its dimension differs from that of the embeddings before.
        """
        point = self._mean.centre(embedding)
        self._mean.add(embedding)
        self._dbstream.learn(point)
        # Shared densities only serve to combine micro-clusters, which this clusterer does not do.
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

    def predict(self, embedding: Vector, context: ImageContext = NO_CONTEXT) -> int | None:  # noqa: ARG002
        """Return the nearest micro-cluster, or None if the embedding is outside its radius."""
        distances = self._dbstream.distances(self._mean.centre(embedding))
        if not distances.size or distances.min() >= self._dbstream.clustering_threshold:
            return None
        return self._ids.get(self._dbstream.keys[int(distances.argmin())])

    def reserve_ids_to(self, highest: int) -> None:
        """Reserve the ids up to `highest`: new clusters get greater ones."""
        self._next_id = max(self._next_id, highest + 1)

    def events(self) -> list[ClusterEvent]:
        """Return births and retirements since the last call."""
        events, self._events = self._events, []
        return events

    def count(self) -> int:
        """Count the micro-clusters that were the nearest of an embedding."""
        return len(self._ids)

    @property
    def dimension(self) -> int | None:
        """Return the embedding dimension, or None before the first embedding."""
        return self._mean.dimension

    def state(self) -> State:
        """Return a snapshot of mean, micro-clusters and ids."""
        return {
            "version": 1,
            "algorithm": self.name,
            "sum": np.asarray(self._mean.sum),
            "seen": self._mean.seen,
            "ids": dict(self._ids),
            "next_id": self._next_id,
            "keys": list(self._dbstream.keys),
            "centres": self._dbstream.centres.copy(),
            "updated": self._dbstream.updated.tolist(),
            "weights": self._dbstream.weights.tolist(),
            "time": self._dbstream.time,
        }

    def restore(self, state: State) -> None:
        """Restore a snapshot."""
        self._mean = RunningMean(state["sum"].copy(), state["seen"])
        self._ids, self._next_id = dict(state["ids"]), state["next_id"]
        if state["keys"]:
            self._dbstream.fill(state["keys"], state["centres"], state["weights"], state["updated"], state["time"])
