"""The default clusterer: exemplars, in a space that the clusters themselves teach."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from core.errors import BadRecordError
from core.records import Cluster, ClusterEvent, Vector
from models.clusterer import NO_CONTEXT, Clusterer, ImageContext, State
from models.clusterers.exemplars import Exemplars, Points
from models.clusterers.linkage import group_sums, merges
from models.clusterers.whitening_transform import WhiteningTransform, fit_class_whitening

_FIRST: Final = 3
"""Exemplars before there is a space: around the mean of two, these two are opposites."""
_GROWTH: Final = 1.1
_OFTEN: Final = 256
"""The space is learned anew after so many new exemplars at most, and when they have grown by a tenth."""
_FADED: Final = 0.5
_ROOM: Final = 0.875
"""Part of the capacity that is left filled when it was reached."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What can be chosen. Similarities are cosines in the learned space, where strangers have about 0."""

    join: float = 0.35
    """A post belongs to a cluster whose exemplars are on average as similar as this."""
    merge: float = 0.35
    """Two clusters whose exemplars are on average as similar as this are one."""
    start: float = 0.5
    """The same for both while nothing is known of the space."""
    prior: float = 25.0
    """The assumption that nothing is known counts as much as so many pairs of one cluster."""
    absorb: float = 0.9
    """A post this similar to an exemplar of its cluster is stood for by it."""
    capacity: int = 1792
    """Exemplars that are kept."""
    half_life: float = 10_000.0
    """Posts in which an exemplar that stands for no new one loses half of its weight; below a half it is forgotten."""


class RcaClusterer(Clusterer):
    """Clusters of exemplars, joined and merged by average linkage in the space of relevant component analysis.

    A post joins the cluster to whose exemplars it is most similar on average, or founds one. Now and then the space is
    learned again from the clusters (see `space.learned`), all exemplars are placed in it, and clusters that turn out to
    be one are merged: the older id stays. Errors on the side of too many clusters can be mended by a merge, the others
    never; so it begins strict. All that is kept is the exemplars and one matrix.
    """

    name = "relevant"

    def __init__(self, **parameters: Any) -> None:
        self._is = Parameters(**parameters)
        self._kept: Exemplars | None = None
        self._space: WhiteningTransform | None = None
        self._time = self._next_id = 0
        self._learn_at = float(_FIRST)
        self._events: list[ClusterEvent] = []

    def learn(self, embedding: Vector, context: ImageContext = NO_CONTEXT, *, cluster: int | None = None) -> Cluster:  # noqa: ARG002
        """Take in one embedding, of `cluster` where that is known already.

        The distance is the root of the mean squared distance to the cluster's exemplars, as unit vectors in the learned
        space: 0 for the first of a cluster, at most 2.

        Raises:
            BadRecordError: where a number of it is infinite or none, or there are more or fewer than before.
        """
        if not np.isfinite(embedding).all():
            raise BadRecordError("the embedding is not finite")
        if self._kept is None:
            self._kept = Exemplars(embedding.size)
        kept, told = self._kept, len(self._events)
        if embedding.size != kept.dimension:
            raise BadRecordError(f"the embedding has {embedding.size} numbers, those before it had {kept.dimension}")
        self._time += 1
        point = self._space.points(embedding) if self._space else None
        # Before there is a space, only what is the same is similar.
        similar = kept.points @ point if point is not None else _same(kept.embeddings, embedding)
        if len(kept):
            means = np.bincount(kept.slots, similar, len(kept.ids)) / kept.sizes
            found = int(means.argmax()) if cluster is None else int(np.searchsorted(kept.ids, cluster))
            if cluster is not None or means[found] > self._threshold(self._is.join):
                cluster = int(kept.ids[found])
                self._join(embedding, found, similar, point)
                return Cluster(self._now_called(cluster, told), math.sqrt(max(0.0, 2 - 2 * float(means[found]))))
        cluster, self._next_id = self._next_id, self._next_id + 1
        self._events.append(ClusterEvent("birth", cluster))
        self._add(embedding, cluster, point)
        return Cluster(self._now_called(cluster, told), 0.0)

    def merge(self, one: int, other: int) -> None:
        """Two clusters that are known to be one: the older id stays."""
        if one != other:
            stays, goes = sorted((one, other))
            self._here().rename(goes, stays)
            self._events.append(ClusterEvent("merge", goes, stays))

    def begin_above(self, highest: int) -> None:
        """Give no id up to `highest`."""
        self._next_id = max(self._next_id, highest + 1)

    def events(self) -> list[ClusterEvent]:
        """Births, merges and retirements since the last call."""
        events, self._events = self._events, []
        return events

    def count(self) -> int:
        """Clusters that are alive."""
        return 0 if self._kept is None else len(self._kept.ids)

    @property
    def dimension(self) -> int | None:
        """Numbers of an exemplar."""
        return None if self._kept is None else self._kept.dimension

    def state(self) -> State:
        """Exemplars, space and ids."""
        return {
            "version": 1,
            "algorithm": self.name,
            "parameters": asdict(self._is),
            "time": self._time,
            "next_id": self._next_id,
            "learn_at": self._learn_at,
            "exemplars": None if self._kept is None else self._kept.state(),
            "space": None if self._space is None else self._space.state(),
            "events": [(event.kind, event.cluster, event.into) for event in self._events],
        }

    def restore(self, state: State) -> None:
        """Go on from a state, with the parameters that are set now."""
        self._time, self._next_id, self._learn_at = state["time"], state["next_id"], state["learn_at"]
        self._events = [ClusterEvent(*event) for event in state["events"]]
        self._kept = None if state["exemplars"] is None else Exemplars.of(state["exemplars"])
        self._space = None if state["space"] is None else WhiteningTransform.of(*state["space"])
        if self._kept is not None and self._space is not None:
            self._kept.set_points(self._space.points(self._kept.embeddings))

    def _now_called(self, cluster: int, told: int) -> int:
        """The id after what has happened since so many events."""
        for event in self._events[told:]:
            if event.into is not None and event.cluster == cluster:
                cluster = event.into
        return cluster

    def _threshold(self, wanted: float) -> float:
        trust = self._space.trust if self._space else 0.0
        return self._is.start + trust * (wanted - self._is.start)

    def _join(self, embedding: Vector, slot: int, similar: Points, point: Points | None) -> None:
        kept, now = self._here(), self._time
        members = np.flatnonzero(kept.slots == slot)
        nearest = int(members[similar[members].argmax()])
        if similar[nearest] > self._is.absorb:
            kept.reinforce(nearest, float(kept.faded(now, self._is.half_life)[nearest]), now)
        else:
            self._add(embedding, int(kept.ids[slot]), point)

    def _add(self, embedding: Vector, cluster: int, point: Points | None) -> None:
        kept = self._here()
        kept.add(embedding, cluster, self._time)
        if point is not None:
            kept.set_point(len(kept) - 1, point)
        if len(kept) >= self._learn_at:
            self._learn_space()
            self._learn_at = min(_GROWTH * len(kept) + 1, len(kept) + _OFTEN, self._is.capacity)

    def _learn_space(self) -> None:
        kept = self._here()
        self._forget(kept)
        self._space = fit_class_whitening(kept.embeddings, kept.slots, kept.sizes, self._is.prior)
        kept.set_points(self._space.points(kept.embeddings))
        ids = kept.ids.tolist()
        sums = group_sums(kept.points, kept.slots, len(ids))
        for stays, goes in merges(sums, kept.sizes, self._threshold(self._is.merge)):
            kept.rename(ids[goes], ids[stays])
            self._events.append(ClusterEvent("merge", ids[goes], ids[stays]))

    def _forget(self, kept: Exemplars) -> None:
        """What faded; and where there is no room, what is light and has many heavier ones in its cluster."""
        weights = kept.faded(self._time, self._is.half_life)
        stay = weights >= _FADED
        if stay.sum() >= self._is.capacity:
            order = np.lexsort((-weights, kept.slots))
            ranks = np.empty(len(kept))
            ranks[order] = np.arange(len(kept)) - (np.cumsum(kept.sizes) - kept.sizes)[kept.slots[order]]
            least_first = np.argsort(weights / (1 + ranks), kind="stable")
            stay[least_first[: len(kept) - round(_ROOM * self._is.capacity)]] = False
        self._events += [ClusterEvent("retire", cluster) for cluster in kept.retain(stay)]

    def _here(self) -> Exemplars:
        assert self._kept is not None
        return self._kept


def _same(embeddings: Points, embedding: Vector) -> Points:
    same: Points = (embeddings == embedding).all(axis=1).astype(np.float32)
    return same
