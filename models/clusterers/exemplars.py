"""What a clusterer keeps of a stream: embeddings that stand for those near them, in arrays of a bounded length."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from core.records import Vector

Floats = NDArray[np.float64]
Points = NDArray[np.float32]
Numbers = NDArray[np.int64]

_FEW: Final = 64


class Exemplars:
    """Rows of embeddings, each with its cluster, its weight (posts it stands for) and when it last stood for one."""

    def __init__(self, dimension: int, rows: int = _FEW) -> None:
        self._count = 0
        self._embeddings: Points = np.zeros((rows, dimension), np.float32)
        self._points: Points = np.zeros((rows, dimension), np.float32)
        self._slots: Numbers = np.zeros(rows, np.int64)
        self._weights: Floats = np.zeros(rows)
        self._seen: Numbers = np.zeros(rows, np.int64)
        self.ids: Numbers = np.zeros(0, np.int64)
        """The id of the cluster in each slot, ascending."""
        self.sizes: Numbers = np.zeros(0, np.int64)
        """Exemplars of the cluster in each slot."""

    def __len__(self) -> int:
        return self._count

    @property
    def dimension(self) -> int:
        """Numbers of an embedding."""
        return int(self._embeddings.shape[1])

    @property
    def embeddings(self) -> Points:
        """As they came, shape (n, dimension)."""
        return self._embeddings[: self._count]

    @property
    def points(self) -> Points:
        """Where they lie in the space in which they are compared: unit vectors, shape (n, dimension)."""
        return self._points[: self._count]

    @property
    def slots(self) -> Numbers:
        """Place in `ids` of the cluster of each."""
        return self._slots[: self._count]

    def add(self, embedding: Vector, cluster: int, now: int) -> None:
        """Append one; ids of new clusters only grow, so that they stay in order."""
        if self._count == len(self._slots):
            self._resize(2 * self._count)
        place = self._count
        if not len(self.ids) or cluster > self.ids[-1]:
            self.ids = np.append(self.ids, cluster)
            self.sizes = np.append(self.sizes, 0)
        slot = int(np.searchsorted(self.ids, cluster))
        self._embeddings[place], self._slots[place] = embedding, slot
        self._weights[place], self._seen[place] = 1.0, now
        self.sizes[slot] += 1
        self._count += 1

    def set_point(self, row: int, point: Points) -> None:
        """Say where a row lies."""
        self._points[row] = point

    def set_points(self, points: Points) -> None:
        """Say where all lie."""
        self._points[: self._count] = points

    def reinforce(self, row: int, weight: float, now: int) -> None:
        """One more stands behind a row."""
        self._weights[row], self._seen[row] = weight + 1.0, now

    def faded(self, now: int, half_life: float) -> Floats:
        """Weights as they are now: halved each `half_life` posts."""
        n = self._count
        weights: Floats = self._weights[:n] * 2.0 ** ((self._seen[:n] - now) / half_life)
        return weights

    def rename(self, old: int, new: int) -> None:
        """Give a cluster's rows to another."""
        before, after = np.searchsorted(self.ids, (old, new))
        self._slots[: self._count][self.slots == before] = after
        self._index(self.ids[self.slots])

    def retain(self, kept: NDArray[np.bool_]) -> list[int]:
        """Drop all other rows; returns the clusters that have none left."""
        n, rows = self._count, int(kept.sum())
        before, clusters = self.ids, self.ids[self.slots[kept]]
        for column in (self._embeddings, self._points, self._weights, self._seen):
            column[:rows] = column[:n][kept]
        self._count = rows
        self._index(clusters)
        return [int(cluster) for cluster in np.setdiff1d(before, self.ids)]

    def state(self) -> dict[str, Any]:
        """Plain values, without the points, which follow from the embeddings."""
        n = self._count
        return {
            "embeddings": self.embeddings.copy(),
            "clusters": self.ids[self.slots],
            "weights": self._weights[:n].copy(),
            "seen": self._seen[:n].copy(),
        }

    @classmethod
    def of(cls, state: dict[str, Any]) -> "Exemplars":
        """From a state."""
        rows, dimension = state["embeddings"].shape
        made = cls(dimension, max(rows, _FEW))
        made._count = rows
        made._embeddings[:rows], made._weights[:rows] = state["embeddings"], state["weights"]
        made._seen[:rows] = state["seen"]
        made._index(state["clusters"])
        return made

    def _index(self, clusters: Numbers) -> None:
        self.ids, slots, self.sizes = np.unique(clusters, return_inverse=True, return_counts=True)
        self._slots[: self._count] = slots

    def _resize(self, rows: int) -> None:
        for name in ("_embeddings", "_points", "_slots", "_weights", "_seen"):
            old = getattr(self, name)
            new = np.zeros((rows, *old.shape[1:]), old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)
