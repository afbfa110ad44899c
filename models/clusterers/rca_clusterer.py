"""Online clusterer of exemplars, whitened by relevant component analysis (RCA) of its own clusters."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from core.records import Cluster, ClusterEvent, Vector
from models.arrays import Float32Array, Float64Array
from models.clusterer import NO_CONTEXT, Clusterer, ImageContext, State, check_embedding
from models.clusterers.exemplars import Exemplars
from models.clusterers.linkage import average_linkage, group_sums
from models.clusterers.whitening_transform import WhiteningTransform, fit_class_whitening

_MIN_EXEMPLARS: Final = 3
"""Exemplars before whitening is first fitted: two would be opposites around their mean."""
_GROWTH: Final = 1.1
_REFIT_EVERY: Final = 256
"""Whitening is fitted again when the exemplars have grown by a tenth, and after this many new ones at most."""
_MIN_WEIGHT: Final = 0.5
"""Exemplars whose decayed weight is less are evicted."""
_FILL: Final = 0.875
"""Share of the capacity that stays filled by an eviction."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Parameters of `RcaClusterer`. Similarities are cosines after whitening: about 0 for unrelated images."""

    join: float = 0.35
    """A post joins a cluster if its mean similarity to the cluster's exemplars is above this."""
    merge: float = 0.35
    """Two clusters are merged if the mean similarity of their exemplars is above this."""
    start: float = 0.5
    """Both limits before whitening is fitted; they move towards the two above as it becomes trusted."""
    prior: float = 25.0
    """Weight of the prior of the whitening, in pairs of one cluster."""
    absorb: float = 0.9
    """A post more similar than this to an exemplar of its cluster is represented by it."""
    capacity: int = 1792
    """Exemplars at most."""
    half_life: float = 10_000.0
    """Posts after which an exemplar that represents no new post loses half of its weight; it is evicted below 0.5."""


class RcaClusterer(Clusterer):
    """Clusters of exemplars, joined and merged by average linkage after whitening by relevant component analysis.

    A post joins the cluster with the highest mean similarity to its exemplars, or starts a new one. Now and then the
    whitening is fitted again to the clusters (see `fit_class_whitening`) and applied to all exemplars, and clusters
    that turn out to be one are merged under the older id. A merge can repair an error that gave too many clusters, but
    nothing repairs the opposite; so the clusterer starts strict. It keeps only the exemplars and one matrix.
    """

    name = "relevant"

    def __init__(self, **parameters: Any) -> None:
        """Start empty; the parameters are the fields of `Parameters`."""
        self._parameters = Parameters(**parameters)
        self._exemplars: Exemplars | None = None
        self._whitening: WhiteningTransform | None = None
        self._time = self._next_id = 0
        self._refit_at = float(_MIN_EXEMPLARS)
        self._events: list[ClusterEvent] = []

    def learn(self, embedding: Vector, context: ImageContext = NO_CONTEXT, *, cluster: int | None = None) -> Cluster:  # noqa: ARG002
        """Learn one embedding, shape (dimension,), as a member of `cluster` if that is known.

        The distance is the root mean square distance to the cluster's exemplars as whitened unit vectors: 0 for the
        first of a cluster, at most 2.

        Raises:
            BadRecordError: If it is not finite, or its dimension differs from that of the embeddings before.
        """
        check_embedding(embedding, self.dimension)
        if self._exemplars is None:
            self._exemplars = Exemplars(embedding.size)
        kept, events_before = self._exemplars, len(self._events)
        self._time += 1
        point, similar, means = self._compare(embedding)
        if len(kept):
            found = int(means.argmax()) if cluster is None else int(np.searchsorted(kept.ids, cluster))
            if cluster is not None or means[found] > self._threshold(self._parameters.join):
                cluster = int(kept.ids[found])
                self._join(embedding, found, similar, point)
                distance = math.sqrt(max(0.0, 2 - 2 * float(means[found])))
                return Cluster(self._resolve(cluster, events_before), distance)
        cluster, self._next_id = self._next_id, self._next_id + 1
        self._events.append(ClusterEvent("birth", cluster))
        self._add(embedding, cluster, point)
        return Cluster(self._resolve(cluster, events_before), 0.0)

    def predict(self, embedding: Vector, context: ImageContext = NO_CONTEXT) -> int | None:  # noqa: ARG002
        """Return the cluster with the highest mean similarity, or None if that is below the threshold."""
        check_embedding(embedding, self.dimension)
        if not self._exemplars:
            return None
        *_, means = self._compare(embedding)
        found = int(means.argmax())
        return int(self._exemplars.ids[found]) if means[found] > self._threshold(self._parameters.join) else None

    def merge(self, one: int, other: int) -> None:
        """Merge two clusters that are known to be one, under the older id."""
        if one != other:
            stays, goes = sorted((one, other))
            self._require_exemplars().rename(goes, stays)
            self._events.append(ClusterEvent("merge", goes, stays))

    def reserve_ids_to(self, highest: int) -> None:
        """Reserve the ids up to `highest`: new clusters get greater ones."""
        self._next_id = max(self._next_id, highest + 1)

    def events(self) -> list[ClusterEvent]:
        """Return births, merges and retirements since the last call."""
        events, self._events = self._events, []
        return events

    def count(self) -> int:
        """Count the clusters that have exemplars."""
        return 0 if self._exemplars is None else len(self._exemplars.ids)

    @property
    def dimension(self) -> int | None:
        """Return the embedding dimension, or None before the first embedding."""
        return None if self._exemplars is None else self._exemplars.dimension

    def state(self) -> State:
        """Return a snapshot of exemplars, whitening, ids and pending events."""
        return {
            "version": 1,
            "algorithm": self.name,
            "parameters": asdict(self._parameters),
            "time": self._time,
            "next_id": self._next_id,
            "learn_at": self._refit_at,
            "exemplars": None if self._exemplars is None else self._exemplars.state(),
            "space": None if self._whitening is None else self._whitening.state(),
            "events": [(event.kind, event.cluster, event.into) for event in self._events],
        }

    def restore(self, state: State) -> None:
        """Restore a snapshot, with the current parameters."""
        self._time, self._next_id, self._refit_at = state["time"], state["next_id"], state["learn_at"]
        self._events = [ClusterEvent(*event) for event in state["events"]]
        self._exemplars = None if state["exemplars"] is None else Exemplars.of(state["exemplars"])
        self._whitening = None if state["space"] is None else WhiteningTransform.of(*state["space"])
        if self._exemplars is not None and self._whitening is not None:
            self._exemplars.set_points(self._whitening.apply(self._exemplars.embeddings))

    def _compare(self, embedding: Vector) -> tuple[Float32Array | None, Float32Array, Float64Array]:
        """Whiten an embedding and compare it.

        Returns:
            The whitened embedding, or None before whitening is fitted; the similarity to each exemplar, shape (n,); and
            the mean similarity to each cluster by slot, shape (k,).
        """
        kept = self._require_exemplars()
        point = self._whitening.apply(embedding) if self._whitening else None
        # Before whitening is fitted, only identical embeddings are similar.
        similar = kept.points @ point if point is not None else _equal_rows(kept.embeddings, embedding)
        return point, similar, np.bincount(kept.slots, similar, len(kept.ids)) / kept.sizes

    def _resolve(self, cluster: int, since: int) -> int:
        """Return the cluster's id after the merges among the events from index `since` on."""
        for event in self._events[since:]:
            if event.into is not None and event.cluster == cluster:
                cluster = event.into
        return cluster

    def _threshold(self, wanted: float) -> float:
        """Interpolate between the initial limit and the wanted one, by the trust in the whitening."""
        trust = self._whitening.trust if self._whitening else 0.0
        return self._parameters.start + trust * (wanted - self._parameters.start)

    def _join(self, embedding: Vector, slot: int, similar: Float32Array, point: Float32Array | None) -> None:
        kept, now = self._require_exemplars(), self._time
        members = np.flatnonzero(kept.slots == slot)
        nearest = int(members[similar[members].argmax()])
        if similar[nearest] > self._parameters.absorb:
            kept.reinforce(nearest, float(kept.decayed_weights(now, self._parameters.half_life)[nearest]), now)
        else:
            self._add(embedding, int(kept.ids[slot]), point)

    def _add(self, embedding: Vector, cluster: int, point: Float32Array | None) -> None:
        kept = self._require_exemplars()
        kept.add(embedding, cluster, self._time)
        if point is not None:
            kept.set_point(len(kept) - 1, point)
        if len(kept) >= self._refit_at:
            self._refit()
            self._refit_at = min(_GROWTH * len(kept) + 1, len(kept) + _REFIT_EVERY, self._parameters.capacity)

    def _refit(self) -> None:
        kept = self._require_exemplars()
        self._evict(kept)
        self._whitening = fit_class_whitening(kept.embeddings, kept.slots, kept.sizes, self._parameters.prior)
        kept.set_points(self._whitening.apply(kept.embeddings))
        ids = kept.ids.tolist()
        sums = group_sums(kept.points, kept.slots, len(ids))
        for stays, goes in average_linkage(sums, kept.sizes, self._threshold(self._parameters.merge)):
            kept.rename(ids[goes], ids[stays])
            self._events.append(ClusterEvent("merge", ids[goes], ids[stays]))

    def _evict(self, kept: Exemplars) -> None:
        """Evict faded exemplars. If still at capacity, evict light ones with many heavier ones in their cluster."""
        weights = kept.decayed_weights(self._time, self._parameters.half_life)
        stay = weights >= _MIN_WEIGHT
        if stay.sum() >= self._parameters.capacity:
            order = np.lexsort((-weights, kept.slots))
            ranks = np.empty(len(kept))
            ranks[order] = np.arange(len(kept)) - (np.cumsum(kept.sizes) - kept.sizes)[kept.slots[order]]
            least_first = np.argsort(weights / (1 + ranks), kind="stable")
            stay[least_first[: len(kept) - round(_FILL * self._parameters.capacity)]] = False
        self._events += [ClusterEvent("retire", cluster) for cluster in kept.retain(stay)]

    def _require_exemplars(self) -> Exemplars:
        assert self._exemplars is not None
        return self._exemplars


def _equal_rows(embeddings: Float32Array, embedding: Vector) -> Float32Array:
    """Return 1.0 for rows that equal the embedding and 0.0 for others, shape (n,)."""
    equal: Float32Array = (embeddings == embedding).all(axis=1).astype(np.float32)
    return equal
