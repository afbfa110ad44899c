"""Exemplars of a stream: embeddings that represent those near them, in arrays that grow as needed."""

from typing import Any, Final

import numpy as np

from core.records import Vector
from models.arrays import BoolArray, Float32Array, Float64Array, Int64Array

_INITIAL_ROWS: Final = 64


class Exemplars:
    """A table of n exemplars: embedding, cluster, weight (posts it represents) and time of the last of these.

    Times count posts. A `slot` is the index of a cluster in `ids`, 0 to k - 1 for k clusters.
    """

    def __init__(self, dimension: int, rows: int = _INITIAL_ROWS) -> None:
        self._count = 0
        self._embeddings: Float32Array = np.zeros((rows, dimension), np.float32)
        self._points: Float32Array = np.zeros((rows, dimension), np.float32)
        self._slots: Int64Array = np.zeros(rows, np.int64)
        self._weights: Float64Array = np.zeros(rows)
        self._seen: Int64Array = np.zeros(rows, np.int64)
        self.ids: Int64Array = np.zeros(0, np.int64)
        """Ids of the clusters by slot, ascending: shape (k,)."""
        self.sizes: Int64Array = np.zeros(0, np.int64)
        """Exemplars of each cluster by slot: shape (k,)."""

    def __len__(self) -> int:
        """Return the number of exemplars, n."""
        return self._count

    @property
    def dimension(self) -> int:
        """Return the embedding dimension."""
        return int(self._embeddings.shape[1])

    @property
    def embeddings(self) -> Float32Array:
        """Return a view of the original embeddings, shape (n, dimension)."""
        return self._embeddings[: self._count]

    @property
    def points(self) -> Float32Array:
        """Return a view of the whitened embeddings: unit vectors, shape (n, dimension)."""
        return self._points[: self._count]

    @property
    def slots(self) -> Int64Array:
        """Return a view of the slots of the exemplars' clusters, shape (n,)."""
        return self._slots[: self._count]

    def add(self, embedding: Vector, cluster: int, now: int) -> None:
        """Append an exemplar of weight 1. A new cluster must have the greatest id, so that `ids` stays sorted."""
        if self._count == len(self._slots):
            self._resize(2 * self._count)
        row = self._count
        if not len(self.ids) or cluster > self.ids[-1]:
            self.ids, self.sizes = np.append(self.ids, cluster), np.append(self.sizes, 0)
        slot = int(np.searchsorted(self.ids, cluster))
        self._embeddings[row], self._slots[row] = embedding, slot
        self._weights[row], self._seen[row] = 1.0, now
        self.sizes[slot] += 1
        self._count += 1

    def set_point(self, row: int, point: Float32Array) -> None:
        """Set the whitened embedding of one row, shape (dimension,)."""
        self._points[row] = point

    def set_points(self, points: Float32Array) -> None:
        """Set the whitened embeddings of all rows, shape (n, dimension)."""
        self._points[: self._count] = points

    def reinforce(self, row: int, weight: float, now: int) -> None:
        """Count one more post for a row, whose decayed weight is `weight`."""
        self._weights[row], self._seen[row] = weight + 1.0, now

    def decayed_weights(self, now: int, half_life: float) -> Float64Array:
        """Return the weights as of `now`, shape (n,): halved every `half_life` posts."""
        n = self._count
        weights: Float64Array = self._weights[:n] * 2.0 ** ((self._seen[:n] - now) / half_life)
        return weights

    def rename(self, old: int, new: int) -> None:
        """Move all exemplars of cluster `old` to cluster `new`."""
        before, after = np.searchsorted(self.ids, (old, new))
        self._slots[: self._count][self.slots == before] = after
        self._set_clusters(self.ids[self.slots])

    def retain(self, kept: BoolArray) -> list[int]:
        """Evict the rows where `kept`, of shape (n,), is False; return the clusters that lost their last exemplar."""
        n, rows = self._count, int(kept.sum())
        before, clusters = self.ids, self.ids[self.slots[kept]]
        for column in (self._embeddings, self._points, self._weights, self._seen):
            column[:rows] = column[:n][kept]
        self._count = rows
        self._set_clusters(clusters)
        return [int(cluster) for cluster in np.setdiff1d(before, self.ids)]

    def state(self) -> dict[str, Any]:
        """Return a snapshot of arrays, without the points, which follow from the embeddings."""
        n = self._count
        return {
            "embeddings": self.embeddings.copy(),
            "clusters": self.ids[self.slots],
            "weights": self._weights[:n].copy(),
            "seen": self._seen[:n].copy(),
        }

    @classmethod
    def of(cls, state: dict[str, Any]) -> "Exemplars":
        """Restore a snapshot; the caller sets the points."""
        rows, dimension = state["embeddings"].shape
        made = cls(dimension, max(rows, _INITIAL_ROWS))
        made._count = rows
        made._embeddings[:rows], made._weights[:rows] = state["embeddings"], state["weights"]
        made._seen[:rows] = state["seen"]
        made._set_clusters(state["clusters"])
        return made

    def _set_clusters(self, clusters: Int64Array) -> None:
        """Derive ids, slots and sizes from the cluster of each row, shape (n,)."""
        self.ids, slots, self.sizes = np.unique(clusters, return_inverse=True, return_counts=True)
        self._slots[: self._count] = slots

    def _resize(self, rows: int) -> None:
        for name in ("_embeddings", "_points", "_slots", "_weights", "_seen"):
            old = getattr(self, name)
            new = np.zeros((rows, *old.shape[1:]), old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)
