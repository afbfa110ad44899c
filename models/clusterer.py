"""Online clusters of embeddings: one pass, and a state of plain values that a crash does not change."""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final

import numpy as np
from river.cluster import DBSTREAM
from river.cluster.dbstream import DBSTREAMMicroCluster

from memewax.errors import BadRecordError
from memewax.records import Cluster, ClusterEvent, Vector

State = dict[str, Any]
"""Plain values, pickled into the recovery store."""


class Clusterer(ABC):
    """Learns one embedding after another and says at once which cluster each one falls into."""

    stage: ClassVar[str] = "cluster"
    name: str

    @abstractmethod
    def learn(self, embedding: Vector) -> Cluster:
        """Take in one embedding of shape (dimension,); its cluster has an id for life."""

    def events(self) -> list[ClusterEvent]:
        """What became of clusters since the last call, in order: each event is told once."""
        return []

    @abstractmethod
    def count(self) -> int:
        """Clusters that are alive."""

    @abstractmethod
    def state(self) -> State:
        """All that it has learned; what it does next depends on nothing else."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Go on from a state."""


class DbstreamClusterer(Clusterer):
    """River's DBSTREAM over centred embeddings, a cluster being one of its micro-clusters.

    Embeddings of one image model share a large mean, which hides their differences. So the running mean is taken off
    and the rest scaled to length 1; there a distance of 0.9 is an angle of 53 degrees. A micro-cluster that nothing
    fell into for long fades away, and its id never comes back.

    References:
        Hahsler, Bolaños: Clustering data streams based on shared density between micro-clusters. IEEE TKDE 28 (2016).
    """

    _RADIUS: Final = 0.9
    _FADING: Final = 1e-4
    _CLEANUP: Final = 1000
    """Embeddings after which a micro-cluster that only one fell into begins to be forgotten."""

    def __init__(self) -> None:
        self.name = "dbstream"
        # River has no types and no public way to set a state; a test holds a restored one against one that went on.
        self._river: Any = DBSTREAM(
            clustering_threshold=self._RADIUS, fading_factor=self._FADING, cleanup_interval=self._CLEANUP
        )
        self._sum: Any = 0.0
        self._seen = 0
        self._ids: dict[int, int] = {}
        """DBSTREAM's keys, which it uses again, to ids for life."""
        self._next_id = 0

    def learn(self, embedding: Vector) -> Cluster:
        """Take in one embedding; the distance is Euclidean between centred unit vectors, 0 to 2.

        Raises:
            BadRecordError: where a number of it is infinite or none, or there are more or fewer than before.
        """
        if not np.isfinite(embedding).all():
            raise BadRecordError("the embedding is not finite")
        if self._seen and embedding.shape != self._sum.shape:
            raise BadRecordError(f"the embedding has {embedding.size} numbers, those before it had {self._sum.size}")
        point = self._centred(embedding)
        self._river.learn_one(dict(enumerate(point)))
        # Densities shared by micro-clusters serve to put these together, which is not asked for here.
        self._river.s.clear()
        self._river.s_t.clear()
        live = self._river.micro_clusters
        for key in self._ids.keys() - live.keys():
            del self._ids[key]
        key, distance = min(
            ((key, math.dist(it.center.values(), point)) for key, it in live.items()), key=lambda found: found[1]
        )
        if key not in self._ids:
            self._ids[key] = self._next_id
            self._next_id += 1
        return Cluster(self._ids[key], distance)

    def count(self) -> int:
        """Micro-clusters that something fell into."""
        return len(self._ids)

    def state(self) -> State:
        """Mean, micro-clusters and ids."""
        live = self._river.micro_clusters
        return {
            "version": 1,
            "algorithm": self.name,
            "sum": np.asarray(self._sum),
            "seen": self._seen,
            "ids": dict(self._ids),
            "next_id": self._next_id,
            "keys": list(live),
            "centres": np.array([list(it.center.values()) for it in live.values()]),
            "updated": [it.last_update for it in live.values()],
            "weights": [it.weight for it in live.values()],
            "time": self._river._time_stamp,
        }

    def restore(self, state: State) -> None:
        """Go on from a state."""
        self._sum, self._seen = state["sum"].copy(), state["seen"]
        self._ids, self._next_id = dict(state["ids"]), state["next_id"]
        micro_cluster: Any = DBSTREAMMicroCluster
        rows = zip(state["keys"], state["centres"].tolist(), state["updated"], state["weights"], strict=True)
        self._river._micro_clusters = {
            key: micro_cluster(dict(enumerate(centre)), updated, weight) for key, centre, updated, weight in rows
        }
        self._river._time_stamp = state["time"]

    def _centred(self, embedding: Vector) -> list[float]:
        self._sum = self._sum + embedding.astype(np.float64)
        self._seen += 1
        # The mean of few is mostly those few themselves, so it counts in full only when there are many.
        centred = embedding - self._sum / (self._seen + 1)
        length = float(np.linalg.norm(centred))
        point: list[float] = (centred / length if length else centred).tolist()
        return point


class StandInClusterer(Clusterer):
    """One cluster for all, at once: to measure the flow itself."""

    def __init__(self) -> None:
        self.name = "stand-in"

    def learn(self, embedding: Vector) -> Cluster:  # noqa: ARG002
        """The one cluster."""
        return Cluster(0, 0.0)

    def count(self) -> int:
        """One."""
        return 1

    def state(self) -> State:
        """Nothing but its name."""
        return {"version": 1, "algorithm": self.name}

    def restore(self, state: State) -> None:
        """There is nothing to go on from."""
