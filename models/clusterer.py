"""Online clusters of embeddings: one pass, and a state of plain values that a crash does not change."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from core.records import Cluster, ClusterEvent, Vector

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

    @property
    @abstractmethod
    def dimension(self) -> int | None:
        """Numbers of the embeddings that it learned, None before the first."""

    @abstractmethod
    def state(self) -> State:
        """All that it has learned; what it does next depends on nothing else."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Go on from a state."""


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

    @property
    def dimension(self) -> None:
        """It looks at none."""
        return None

    def state(self) -> State:
        """Nothing but its name."""
        return {"version": 1, "algorithm": self.name}

    def restore(self, state: State) -> None:
        """There is nothing to go on from."""
