"""River's DBSTREAM on NumPy arrays: the same assignments, fast enough for embeddings of hundreds of dimensions."""

from collections import deque
from collections.abc import Hashable, Iterator
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base

from models.arrays import Float64Array


class VectorDBSTREAM(base.Clusterer):
    """DBSTREAM as in river 0.26, with its n micro-clusters as rows of one matrix.

    Parameters and attributes mean what they mean in `river.cluster.DBSTREAM`, quirks included; a test compares the
    assignments of both. The features are those of the first item; every item must have them all.

    Args:
        clustering_threshold: Radius of a micro-cluster.
        fading_factor: A weight halves in 1 / `fading_factor` items; not 0.
        cleanup_interval: Items between two clean-ups.
        intersection_factor: Shared density, relative to the weights of two micro-clusters, above which they belong to
            one cluster.
        minimum_weight: Below this weight a micro-cluster is noise.

    References:
        Hahsler, Bolaños: Clustering data streams based on shared density between micro-clusters. IEEE TKDE 28 (2016).
    """

    def __init__(
        self,
        clustering_threshold: float = 1.0,
        fading_factor: float = 0.01,
        cleanup_interval: float = 2,
        intersection_factor: float = 0.3,
        minimum_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.clustering_threshold = clustering_threshold
        self.fading_factor = fading_factor
        self.cleanup_interval = cleanup_interval
        self.intersection_factor = intersection_factor
        self.minimum_weight = minimum_weight
        self.time = 0
        self.keys: list[int] = []
        """Of the micro-clusters, ascending. As in river, the highest key is reused after its micro-cluster is gone."""
        self.weights: Float64Array = np.zeros(0)
        """As of `updated`, shape (n,)."""
        self.updated: Float64Array = np.zeros(0)
        """When each weight was last updated, in items: shape (n,)."""
        self._rows: Float64Array = np.zeros((0, 0))
        self._squares: Float64Array = np.zeros(0)
        self._features: list[Hashable] = []
        self._shared: dict[int, dict[int, tuple[float, int]]] = {}
        """Shared density of two micro-clusters and when it was updated, by the lesser key, then the greater."""
        self._macro: tuple[int, Float64Array] | None = None

    @property
    def centres(self) -> Float64Array:
        """Return a view of the micro-clusters' centres, shape (n, features)."""
        return self._rows[: len(self.keys)]

    @property
    def n_clusters(self) -> int:
        """Count the clusters: groups of micro-clusters that share density."""
        return self._clusters()[0]

    def learn_one(self, x: dict[Any, float], w: None = None) -> None:  # noqa: ARG002 - river's signature
        """Learn one item."""
        if not self._features:
            self._features = list(x)
        self.learn(self._array(x))

    def predict_one(self, x: dict[Any, float], w: None = None) -> int:  # noqa: ARG002 - river's signature
        """Return the number of the nearest cluster, 0 if there is none yet."""
        count, centres = self._clusters()
        if not count:
            return 0
        return int(((centres - self._array(x)) ** 2).sum(axis=1).argmin())

    def learn(self, point: Float64Array) -> None:
        """Learn one item as an array of shape (features,)."""
        near = np.flatnonzero(self.distances(point) < self.clustering_threshold)
        if len(near):
            self._update(point, near)
        else:
            self._append(point)
        self.time += 1
        if self.time % self.cleanup_interval == 0:
            self._clean_up()
        self._macro = None

    def distances(self, point: Float64Array) -> Float64Array:
        """Return the Euclidean distances of a point, shape (features,), to the centres: shape (n,)."""
        if not self.keys:
            return np.zeros(0)
        n = len(self.keys)
        squares: Float64Array = self._squares[:n] + point @ point - 2 * (self.centres @ point)
        return np.sqrt(np.maximum(squares, 0.0))

    def fill(
        self, keys: list[int], centres: Float64Array, weights: Float64Array, updated: Float64Array, time: int
    ) -> None:
        """Restore micro-clusters, without shared densities.

        Args:
            keys: Length n.
            centres: Shape (n, features).
            weights: Shape (n,).
            updated: Shape (n,), in items.
            time: Items learned.
        """
        self.keys, self._rows = list(keys), np.array(centres, np.float64)
        self._squares = (self._rows**2).sum(axis=1)
        self.weights, self.updated, self.time = np.array(weights, np.float64), np.array(updated, np.float64), time
        self._shared, self._macro = {}, None

    def forget_shared(self) -> None:
        """Delete the shared densities, for a caller that uses the micro-clusters alone."""
        self._shared.clear()

    def _array(self, x: dict[Any, float]) -> Float64Array:
        values = x.values() if list(x) == self._features else (x[name] for name in self._features)
        return np.fromiter(values, np.float64, len(self._features))

    def _append(self, point: Float64Array) -> None:
        n = len(self.keys)
        if n == len(self._rows):
            rows = np.zeros((max(16, 2 * n), len(point)))
            rows[:n] = self._rows[:n] if n else 0.0
            squares = np.zeros(len(rows))
            squares[:n] = self._squares[:n]
            self._rows, self._squares = rows, squares
        self._set(n, point)
        self.keys.append(self.keys[-1] + 1 if self.keys else 0)
        self.weights, self.updated = np.append(self.weights, 1.0), np.append(self.updated, self.time)

    def _set(self, row: int, centre: Float64Array) -> None:
        self._rows[row] = centre
        self._squares[row] = centre @ centre

    def _update(self, point: Float64Array, near: NDArray[np.intp]) -> None:
        before = self._rows[near]
        self.weights[near] = self.weights[near] * self._all_faded(self.updated[near]) + 1
        self.updated[near] = self.time
        apart = ((before - point) ** 2).sum(axis=1)
        pull = np.exp(-apart / (2 * (self.clustering_threshold / 3) ** 2))
        after = before + pull[:, None] * (point - before)
        for row, centre in zip(near, after, strict=True):
            self._set(row, centre)
        for one, other in combinations(near.tolist(), 2):
            density = self._shared.setdefault(self.keys[one], {})
            value, time = density.get(self.keys[other], (0.0, self.time))
            density[self.keys[other]] = value * self._faded(time) + 1, self.time
        # If two centres come closer than the threshold, both stay where they were.
        for one, other in combinations(range(len(near)), 2):
            rows = near[one], near[other]
            if ((self._rows[rows[0]] - self._rows[rows[1]]) ** 2).sum() < self.clustering_threshold**2:
                self._set(rows[0], before[one])
                self._set(rows[1], before[other])

    def _faded(self, time: float) -> float:
        return float(2.0 ** (-self.fading_factor * (self.time - time)))

    def _all_faded(self, times: Float64Array) -> Float64Array:
        # One by one: NumPy's powers may differ from Python's in the last bit, and weights at the limit are common.
        return np.array([self._faded(time) for time in times.tolist()])

    def _clean_up(self) -> None:
        weak = 2 ** (-self.fading_factor * self.cleanup_interval)
        stay = self.weights * self._all_faded(self.updated) >= weak
        if not stay.all():
            gone = {key for key, stays in zip(self.keys, stay, strict=True) if not stays}
            n = len(self.keys)
            self.keys = [key for key in self.keys if key not in gone]
            rows = len(self.keys)
            self._rows[:rows], self._squares[:rows] = self._rows[:n][stay], self._squares[:n][stay]
            self.weights, self.updated = self.weights[stay], self.updated[stay]
            self._shared = {
                one: {other: it for other, it in row.items() if other not in gone}
                for one, row in self._shared.items()
                if one not in gone
            }
        least = self.intersection_factor * weak
        for row in self._shared.values():
            for other, (value, time) in row.items():
                if value * self._faded(time) < least:
                    row[other] = 0.0, 0

    def _clusters(self) -> tuple[int, Float64Array]:
        """Return the number of clusters, k, and their weighted centres, shape (k, features)."""
        if self._macro is None:
            groups = list(self._groups())
            centres = [np.average(self._rows[rows], axis=0, weights=self.weights[rows]) for rows in groups]
            self._macro = len(groups), np.array(centres)
        return self._macro

    def _groups(self) -> Iterator[list[int]]:
        """Yield the rows of each connected component; edges lead from a micro-cluster to those with a greater key."""
        place = {key: row for row, key in enumerate(self.keys)}
        taken: set[int] = set()
        for row in range(len(self.keys)):
            if row in taken or self.weights[row] < self.minimum_weight:
                continue
            group, waiting = [], deque([row])
            while waiting:
                one = waiting.popleft()
                if one in taken:
                    continue
                taken.add(one)
                group.append(one)
                waiting.extend(place[key] for key in self._connected(one, place))
            yield sorted(group)

    def _connected(self, row: int, place: dict[int, int]) -> Iterator[int]:
        weight = self.weights[row]
        for key, (value, _) in self._shared.get(self.keys[row], {}).items():
            other = self.weights[place[key]]
            if min(weight, other) > self.minimum_weight and 2 * value / (weight + other) > self.intersection_factor:
                yield key
