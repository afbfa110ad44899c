"""The default clusterer: nearest neighbours that a second look verifies, for streams of which most is one of a kind."""

import math
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.errors import BadRecordError
from core.records import Cluster, ClusterEvent, Patches, Vector
from core.row_log import RowLog, check_reachable
from models.clusterer import NO_CONTEXT, Clusterer, ImageContext, State
from models.clusterers.exemplars import Floats, Numbers, Points
from models.clusterers.gallery import ExemplarGallery, Probe, hash_of_url, quantised, row_type
from models.clusterers.one_thread import on_one_thread
from models.clusterers.pair_scores import PairScores
from models.clusterers.patches import PatchCoder, compared
from models.clusterers.verified_parameters import VerifiedParameters
from models.clusterers.whitening import RunningCovariance
from models.clusterers.whitening_transform import WhiteningTransform

_FIRST: Final = 3
"""Exemplars before there is a space: around the mean of two, these two are opposites."""
_UNKNOWN: Final = 16
"""Exemplars before any are joined: so many pairs tell what chance makes. What is apart can be merged later."""
_GROWTH_EARLY: Final = 1.5
_GROWTH: Final = 1.25
"""The space is learned anew when so many times as many embeddings were seen."""
_EARLY: Final = 4096
"""Exemplars up to which all are compared anew in a new space: the first ones were judged by a poor one."""
_EARLY_POSTS: Final = 16_384
"""Posts up to which that is so."""
_HOLD: Final = 0.85
"""Share of the limit above which two that were judged in a poor space stay linked."""
_CODED: Final = 96
"""Images whose patches the coder is fitted on."""
_CANDIDATES: Final = 8
_FLOOR: Final = 0.15
"""Cosine below which a candidate gets no second look."""
_REPRESENTATIVES: Final = 8
"""Exemplars of a cluster, the last ones, that speak for it."""
_OFTEN: Final = 64
"""Posts after which the cohesion of a cluster is as much of the last ones."""
_SAME: Final = (0.85, 0.95)
"""Patches and embeddings that are this alike are those of a copy, which the exemplar stands for."""
_LONGER: Final = 4.0
"""Exemplars of a cluster are kept as if they had been seen so many capacities later than one that is alone."""
_INLINE: Final = 256
"""Exemplars that a snapshot may hold itself."""
_FREED: Final = 0.05
"""Share of the capacity that is freed when it was reached."""


class VerifiedClusterer(Clusterer):
    """Clusters of exemplars whose nearest neighbours are verified by their patches.

    A post's nearest exemplars are found in the whitened space. Each is looked at a second time, patch by patch. How
    alike two images are by chance is measured on the stream itself, and a post joins a cluster only where it is far
    above that: with its nearest exemplar, and on average with the cluster. A post that links two clusters merges them
    on the same terms; the older id stays. A post that is like none keeps an id of its own: a cluster is born with its
    second.

    References:
        Sivic, Zisserman: Video Google. ICCV 2003 (spatial verification of what an index finds).
        Auckenthaler, Carey, Lloyd-Thomas: Score normalization for text-independent speaker verification. 2000.
    """

    name = "verified"
    joins_copies = True

    def __init__(self, **parameters: Any) -> None:
        self._is = VerifiedParameters(**parameters)
        self._time = self._next_id = 0
        self._gallery: ExemplarGallery | None = None
        self._covariance: RunningCovariance | None = None
        self._scores: PairScores | None = None
        self._coder: PatchCoder | None = None
        self._first_patches: list[Patches] = []
        """Of the first exemplars that have some, until the coder is fitted on them for good."""
        self._first_rows: list[int] = []
        self._learn_at = float(_FIRST)
        self._cohesions: dict[int, tuple[float, int]] = {}
        """Of each cluster that was born: the mean over joins, and how many these were."""
        self._early: list[list[_EarlyPost]] | None = []
        """Posts that each exemplar stands for, as long as all are compared anew in a new space."""
        self._joined: set[int] = set()
        """Clusters of which somebody knows that they are one."""
        self._members: dict[int, list[int]] = {}
        """Rows of clusters with several exemplars; of the others the row is found by its cluster."""
        self._apart: set[tuple[int, int]] = set()
        self._log_folder: Path | None = None
        self._log: RowLog | None = None
        self._events: list[ClusterEvent] = []

    def learn(self, embedding: Vector, context: ImageContext = NO_CONTEXT, *, cluster: int | None = None) -> Cluster:
        """Take in one embedding, with the image's patches where the model gives them.

        The distance is that to the nearest exemplar of the cluster, as unit vectors in the whitened space: 0 for the
        first of a cluster, at most 2.

        Raises:
            BadRecordError: where a number of it is infinite or none, or there are more or fewer than before.
        """
        if not np.isfinite(embedding).all():
            raise BadRecordError("the embedding is not finite")
        if self._gallery is None:
            self._gallery = ExemplarGallery(embedding.size, self._is.capacity + 1)
            self._covariance = RunningCovariance(embedding.size)
            self._scores = PairScores(self._is, self._gallery)
        if embedding.size != self._gallery.dimension:
            raise BadRecordError(
                f"the embedding has {embedding.size} numbers, those before it had {self._gallery.dimension}"
            )
        self._time += 1
        told = len(self._events)
        numbers, scale = quantised(embedding)
        codes = None if self._coder is None or context.patches is None else self._coder.codes(context.patches)
        seen = _Seen(numbers, scale, codes, self._gallery.probe(numbers, scale, codes), context)
        cluster, distance = self._placed(seen) if cluster is None else self._placed_in(cluster, seen)
        if self._time > _EARLY_POSTS:
            self._early = None
        if self._covariance_here().count >= self._learn_at or len(self._first_patches) == _CODED:
            with on_one_thread():
                self._learn_space()
        if len(self._gallery) > self._is.capacity:
            self._forget_some()
        return Cluster(self._now_called(cluster, context.post, told), distance)

    def keep_rows_below(self, folder: Path) -> None:
        """Keep exemplars in files below a folder, once there are some hundreds of them."""
        self._log_folder = folder

    def begin_above(self, highest: int) -> None:
        """Give no id up to `highest`."""
        self._next_id = max(self._next_id, highest + 1)

    def merge(self, one: int, other: int) -> None:
        """Make one of two clusters, as somebody knows who looked: the older id stays."""
        if one != other:
            stays, goes = sorted((one, other))
            self._apart = {pair for pair in self._apart if pair != (stays, goes)}
            self._merge(stays, goes)
            self._joined.add(stays)

    def split(self, posts: Collection[str]) -> int | None:
        """Move posts out of their cluster into a new one, for good; gives its id, None where none is an exemplar."""
        gallery = self._here()
        rows = np.flatnonzero(np.isin(gallery.fixed["post"], [_hash(post) for post in posts]))
        if not rows.size:
            return None
        old = int(gallery.clusters[rows[0]])
        rows = rows[gallery.clusters[rows] == old]
        new = self._move(old, rows, posts)
        self._cohesions[new] = self._cohesions.get(old, (0.0, 0))
        self._apart.add((old, new))
        self._index()
        return new

    def forget_posts(self, posts: Collection[str]) -> None:
        """Drop the exemplars that posts are, so that nothing is compared with them any more."""
        gone = set(posts)
        self._forget_early(lambda it: it.post in gone)
        self._drop_where("post", posts)

    def forget_author(self, author: str) -> None:
        """Drop all exemplars of an author."""
        gone = int(_hash(author))
        self._forget_early(lambda it: it.author == gone)
        self._drop_where("author", (author,))

    def forget_urls(self, urls: Collection[str]) -> None:
        """Drop the exemplars that were at addresses."""
        gone = {hash_of_url(it) for it in urls}
        self._forget_early(lambda it: it.url in gone)
        if self._gallery is not None:
            dropped = np.isin(self._gallery.urls, list(gone))
            if dropped.any():
                self._drop(dropped)

    def events(self) -> list[ClusterEvent]:
        """What became of clusters since the last call."""
        events, self._events = self._events, []
        return events

    def count(self) -> int:
        """Clusters that are alive: those that were born, which one image alone is not."""
        return len(self._cohesions)

    def singletons(self) -> int:
        """Images that are kept and have no second yet."""
        return 0 if self._gallery is None else self._gallery.distinct - len(self._cohesions)

    def exemplars(self) -> int:
        """Exemplars that are kept."""
        return 0 if self._gallery is None else len(self._gallery)

    @property
    def dimension(self) -> int | None:
        """Numbers of an exemplar."""
        return None if self._gallery is None else self._gallery.dimension

    def state(self) -> State:
        """All that it has learned; exemplars that are kept in files only by their places there."""
        mark = self._logged()
        return {
            "version": 1,
            "algorithm": self.name,
            "parameters": asdict(self._is),
            "time": self._time,
            "next_id": self._next_id,
            "learn_at": self._learn_at,
            "dimension": self.dimension,
            "gallery": None if self._gallery is None else self._gallery.state(),
            "log": mark,
            "fixed": None if self._gallery is None or mark is not None else self._gallery.fixed.tobytes(),
            "covariance": None if self._covariance is None else self._covariance.state(),
            "space": None if self._gallery is None or self._gallery.space is None else self._gallery.space.state(),
            "scores": None if self._scores is None else self._scores.state(),
            "coder": None if self._coder is None else self._coder.state(),
            "first_patches": list(self._first_patches),
            "first_rows": list(self._first_rows),
            "cohesions": dict(self._cohesions),
            "apart": sorted(self._apart),
            "joined": sorted(self._joined),
            "early": None if self._early is None else [[tuple(it) for it in posts] for posts in self._early],
            "events": [(it.kind, it.cluster, it.into, it.posts) for it in self._events],
        }

    def restore(self, state: State) -> None:
        """Go on from a state, with the parameters that are set now."""
        self._time, self._next_id, self._learn_at = state["time"], state["next_id"], state["learn_at"]
        self._coder = None if state["coder"] is None else PatchCoder.of(state["coder"])
        self._first_patches, self._first_rows = list(state["first_patches"]), list(state["first_rows"])
        self._cohesions = dict(state["cohesions"])
        self._apart = {(one, other) for one, other in state["apart"]}
        self._joined = set(state["joined"])
        self._early = (
            None if state["early"] is None else [[_early_post(it) for it in posts] for posts in state["early"]]
        )
        self._events = [ClusterEvent(*event) for event in state["events"]]
        if state["gallery"] is None:
            return
        if state["log"] is None:
            fixed = np.frombuffer(state["fixed"], row_type(state["dimension"]))
        else:
            folder = check_reachable(self._log_folder)
            self._log = RowLog(folder, row_type(state["dimension"]), state["log"])
            fixed = self._log.read(ExemplarGallery.places_in(state["gallery"]))
        self._gallery = ExemplarGallery.of(state["dimension"], self._is.capacity + 1, state["gallery"], fixed)
        self._covariance = RunningCovariance.of(state["covariance"])
        self._scores = PairScores(self._is, self._gallery)
        self._scores.restore(state["scores"])
        if state["space"] is not None:
            self._gallery.place_all(WhiteningTransform.of(*state["space"]))
        self._index()

    def _placed(self, seen: "_Seen") -> tuple[int, float]:
        """The cluster that an image falls into, and its distance from the nearest exemplar there."""
        probe = seen.probe
        if probe is None or not len(self._here()):
            return self._found_one(seen), 0.0
        if len(self._here()) < _UNKNOWN:
            self._scores_here().draw(probe, self._time)
            return self._found_one(seen), 0.0
        rows, cosines, scores = self._candidates(probe)
        found = self._cluster_of(probe, rows, scores)
        self._scores_here().draw(probe, self._time)
        if found is None:
            return self._found_one(seen), 0.0
        cluster, nearest, linkage = found
        self._born(cluster)
        mean, joins = self._cohesions[cluster]
        joins = min(joins + 1, _OFTEN)
        self._cohesions[cluster] = mean + (linkage - mean) / joins, joins
        cosine = float(cosines[rows == nearest][0])
        row = self._join(seen, cluster, nearest, cosine)
        if row is not None:
            self._link(row, rows, scores)
        return cluster, _distance(cosine)

    def _placed_in(self, cluster: int, seen: "_Seen") -> tuple[int, float]:
        """The cluster that is known, and the distance from the nearest exemplar there."""
        gallery = self._here()
        members = np.flatnonzero(gallery.clusters == cluster)
        if not members.size:
            self._events.append(ClusterEvent("revive", cluster))
            self._cohesions[cluster] = 0.0, 0
            self._add(seen, cluster)
            gallery.distinct += 1
            return cluster, 0.0
        self._born(cluster)
        if seen.probe is None:
            self._members[cluster] = [*members.tolist(), self._add(seen, cluster)]
            return cluster, 0.0
        cosines = gallery.cosines(seen.probe, members)
        nearest = int(cosines.argmax())
        self._join(seen, cluster, int(members[nearest]), float(cosines[nearest]))
        return cluster, _distance(float(cosines[nearest]))

    def _join(self, seen: "_Seen", cluster: int, nearest: int, cosine: float) -> int | None:
        """Add an image to a cluster; gives its row, None where the nearest exemplar there stands for it."""
        assert seen.probe is not None
        if self._is_stood_for(seen.probe, cluster, nearest, cosine):
            gallery = self._here()
            gallery.posts[nearest] += 1
            gallery.seen[nearest] = self._time
            if self._early is not None:
                self._early[nearest].append(_EarlyPost.of(seen.context))
            return None
        members = self._rows_of(cluster, nearest)
        row = self._add(seen, cluster)
        self._members[cluster] = [*members, row]
        return row

    def _candidates(self, probe: Probe) -> tuple[Numbers, Points, Floats]:
        """The nearest exemplars, their cosines, and how unusual their similarity is."""
        rows, cosines = self._here().nearest(probe, _CANDIDATES)
        near = cosines >= _FLOOR
        rows, cosines = rows[near], cosines[near]
        return rows, cosines, self._scores_here().unusual(probe, rows, cosines)

    def _cluster_of(self, probe: Probe, rows: Numbers, scores: Floats) -> tuple[int, int, float] | None:
        """The cluster that an image belongs to, the nearest exemplar in it, and its mean similarity with it."""
        clusters, margins = self._here().clusters[rows], scores - self._scores_here().limits(probe, rows)
        tried: set[int] = set()
        for place in np.argsort(-margins, kind="stable"):
            if margins[place] <= 0:
                return None
            cluster, row = int(clusters[place]), int(rows[place])
            if cluster in tried:
                continue
            tried.add(cluster)
            members = self._rows_of(cluster, row)
            if len(members) == 1:
                return cluster, row, float(scores[place])
            linkage = float(self._scores_here().unusual(probe, np.array(members[-_REPRESENTATIVES:])).mean())
            if linkage > self._least(cluster):
                return cluster, row, linkage
        return None

    def _least(self, *clusters: int) -> float:
        """Mean similarity that is asked for of a member of clusters."""
        cohesions = [self._cohesions.get(cluster, (0.0, 0))[0] for cluster in clusters]
        return max(self._is.linkage, self._is.cohesion * max(cohesions))

    def _is_stood_for(self, probe: Probe, cluster: int, row: int, cosine: float) -> bool:
        gallery = self._here()
        if len(self._members.get(cluster, ())) >= self._is.exemplars:
            return True
        patches, embedding = _SAME
        if cosine < embedding:
            return False
        return probe.codes is None or float(compared(probe.codes, gallery.fixed["codes"][[row]])[0]) >= patches

    def _link(self, row: int, rows: Numbers, scores: Floats) -> None:
        """Merge the cluster of a row with those of exemplars that it is verified with."""
        gallery = self._here()
        margins = scores - self._scores_here().limits(gallery.probe_of(row), rows)
        for place in np.argsort(-margins, kind="stable"):
            if margins[place] <= 0:
                return
            one, other = int(gallery.clusters[row]), int(gallery.clusters[rows[place]])
            if one == other or (min(one, other), max(one, other)) in self._apart:
                continue
            these, those = self._rows_of(one, row), self._rows_of(other, int(rows[place]))
            if len(these) * len(those) == 1 or self._between(these, those) > self._least(one, other):
                self._merge(min(one, other), max(one, other))

    def _between(self, these: list[int], those: list[int]) -> float:
        gallery, others = self._here(), np.array(those[-_REPRESENTATIVES:])
        means = [self._scores_here().unusual(gallery.probe_of(row), others).mean() for row in these[-_REPRESENTATIVES:]]
        return float(np.mean(means))

    def _merge(self, stays: int, goes: int) -> None:
        gallery = self._here()
        rows = np.flatnonzero((gallery.clusters == stays) | (gallery.clusters == goes))
        gallery.distinct -= len(np.unique(gallery.clusters[rows])) - 1 if rows.size else 0
        gallery.clusters[rows] = stays
        self._members.pop(goes, None)
        if len(rows) > 1:
            self._members[stays] = rows.tolist()
        self._born(stays)
        one, joins = self._cohesions[stays]
        other, more = self._cohesions.pop(goes, (0.0, 0))
        together = joins + more
        self._cohesions[stays] = (one * joins + other * more) / max(1, together), min(together, _OFTEN)
        renamed = [[stays if it == goes else it for it in pair] for pair in self._apart]
        self._apart = {(min(pair), max(pair)) for pair in renamed}
        if goes in self._joined:
            self._joined = self._joined - {goes} | {stays}
        self._events.append(ClusterEvent("merge", goes, stays))

    def _born(self, cluster: int) -> None:
        if cluster not in self._cohesions:
            self._cohesions[cluster] = 0.0, 0
            self._events.append(ClusterEvent("birth", cluster))

    def _found_one(self, seen: "_Seen") -> int:
        cluster = self._new_id()
        self._add(seen, cluster)
        self._here().distinct += 1
        return cluster

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    def _add(self, seen: "_Seen", cluster: int) -> int:
        gallery = self._here()
        fixed = np.zeros(1, row_type(gallery.dimension))
        fixed["numbers"], fixed["scale"] = seen.numbers, seen.scale
        fixed["post"], fixed["author"] = _hash(seen.context.post), _hash(seen.context.author)
        if seen.codes is not None:
            fixed["codes"], fixed["coded"] = seen.codes, True
        row = gallery.append(fixed, cluster, self._time, seen.probe, hash_of_url(seen.context.url))
        if self._early is not None:
            self._early.append([_EarlyPost.of(seen.context)])
        if seen.context.patches is not None and self._is_coder_open:
            self._first_patches.append(seen.context.patches)
            self._first_rows.append(row)
        self._covariance_here().add(seen.numbers * seen.scale)
        return row

    @property
    def _is_coder_open(self) -> bool:
        return self._coder is None or bool(self._first_patches)

    def _learn_space(self) -> None:
        gallery, covariance = self._here(), self._covariance_here()
        gallery.place_all(covariance.whitening())
        if self._first_patches:
            patches = np.array(self._first_patches)
            self._coder = PatchCoder.fitted(patches)
            gallery.fixed["codes"][self._first_rows] = self._coder.codes(patches)
            gallery.fixed["coded"][self._first_rows] = True
            if len(self._first_patches) >= _CODED:
                self._first_patches, self._first_rows = [], []
        early = len(gallery) <= _EARLY
        if not early:
            self._early = None
        elif len(gallery) >= _UNKNOWN:
            self._part_all()
            self._link_all()
        self._learn_at = (_GROWTH_EARLY if early else _GROWTH) * covariance.count

    def _part_all(self) -> None:
        """Split clusters that a new space shows to be several: what joined them was a poor one."""
        if self._early is None:
            return
        for cluster, rows in list(self._members.items()):
            if cluster in self._joined:
                continue
            first, *others = self._parts(np.array(rows))
            self._cohesions[cluster] = self._cohesion_of(first)
            for part in others:
                posts = [it.post for row in part for it in self._early[row]]
                if all(posts):  # posts without a name cannot be told to move
                    new = self._move(cluster, part, posts)
                    if len(posts) > 1:
                        self._cohesions[new] = self._cohesion_of(part)
        self._index()

    def _parts(self, rows: Numbers) -> list[Numbers]:
        """Rows of a cluster by what is linked, directly or by others, the largest part first."""
        linked = np.zeros((len(rows), len(rows)), np.bool_)
        for place, row in enumerate(rows):
            probe = self._here().probe_of(row)
            limits = _HOLD * self._scores_here().limits(probe, rows)
            linked[place] = self._scores_here().unusual(probe, rows) > limits
        linked |= linked.T
        part = np.full(len(rows), -1)
        for start in range(len(rows)):
            if part[start] < 0:
                reached = np.arange(len(rows)) == start
                while (more := reached | linked[reached].any(axis=0)).sum() > reached.sum():
                    reached = more
                part[reached] = start
        return sorted((rows[part == it] for it in np.unique(part)), key=len, reverse=True)

    def _cohesion_of(self, rows: Numbers) -> tuple[float, int]:
        """Mean score among rows, and how many joins it stands for."""
        if len(rows) == 1:
            return 0.0, 0
        some = rows[-_REPRESENTATIVES:]
        scores = np.array([self._scores_here().unusual(self._here().probe_of(row), some) for row in some])
        return float(scores[~np.eye(len(some), dtype=np.bool_)].mean()), min(len(rows) - 1, _OFTEN)

    def _move(self, old: int, rows: Numbers, posts: Collection[str]) -> int:
        """Give exemplars of a cluster, and the posts that they stand for, a new id."""
        new = self._new_id()
        self._here().clusters[rows] = new
        self._events.append(ClusterEvent("split", old, new, tuple(posts)))
        return new

    def _link_all(self) -> None:
        """Compare all exemplars anew: those that came early were judged in a poor space."""
        gallery = self._here()
        for row in range(len(gallery)):
            probe = gallery.probe_of(row)
            rows, cosines = gallery.nearest(probe, _CANDIDATES + 1)
            other = (gallery.clusters[rows] != gallery.clusters[row]) & (cosines >= _FLOOR)
            if other.any():
                self._link(row, rows[other], self._scores_here().unusual(probe, rows[other], cosines[other]))

    def _forget_some(self) -> None:
        """Make room: those go first that were not seen for long, exemplars of a cluster later than others."""
        gallery = self._here()
        value = gallery.seen + _LONGER * self._is.capacity * np.isin(gallery.clusters, list(self._cohesions))
        gone = np.argsort(value, kind="stable")[: len(gallery) - round((1 - _FREED) * self._is.capacity)]
        dropped = np.zeros(len(gallery), np.bool_)
        dropped[gone] = True
        self._drop(dropped)

    def _forget_early(self, is_gone: Callable[["_EarlyPost"], bool]) -> None:
        if self._early is not None:
            self._early = [[it for it in posts if not is_gone(it)] for posts in self._early]

    def _drop_where(self, field: str, names: Collection[str]) -> None:
        """Drop exemplars by what never changes of them; most names are of none."""
        if self._gallery is None:
            return
        dropped = np.isin(self._gallery.fixed[field], [_hash(name) for name in names])
        if dropped.any():
            self._drop(dropped)

    def _drop(self, dropped: NDArray[np.bool_]) -> None:
        gallery = self._here()
        rows = np.cumsum(~dropped) - 1
        first = [
            (rows[row], it) for row, it in zip(self._first_rows, self._first_patches, strict=True) if not dropped[row]
        ]
        self._first_rows, self._first_patches = [int(row) for row, _ in first], [it for _, it in first]
        if self._early is not None:
            self._early = [posts for posts, is_gone in zip(self._early, dropped, strict=True) if not is_gone]
        if self._log is not None:
            places = gallery.places[dropped]
            self._log.blank(places[places >= 0])
        gallery.keep(~dropped)
        self._index()
        alive = set(gallery.clusters.tolist())
        for cluster in [it for it in self._cohesions if it not in alive]:
            del self._cohesions[cluster]
            self._events.append(ClusterEvent("retire", cluster))

    def _logged(self) -> dict[str, Any] | None:
        """Write exemplars that are new to the files, and let go of files that none is needed of."""
        gallery = self._gallery
        if self._log is None:
            if self._log_folder is None or gallery is None or len(gallery) < _INLINE or self._first_patches:
                return None
            self._log = RowLog(self._log_folder, row_type(gallery.dimension))
        assert gallery is not None
        old = np.flatnonzero(gallery.places >= 0)
        moved = old[self._log.sparse(gallery.places[old])]
        self._log.blank(gallery.places[moved])
        gallery.places[moved] = -1
        new = np.flatnonzero(gallery.places < 0)
        gallery.places[new] = self._log.append(gallery.fixed[new])
        self._log.drop_all_but(gallery.places)
        return self._log.mark()

    def _index(self) -> None:
        """Note the rows of clusters with several exemplars."""
        clusters = self._here().clusters
        order = np.argsort(clusters, kind="stable")
        ids, starts, sizes = np.unique(clusters[order], return_index=True, return_counts=True)
        self._here().distinct = len(ids)
        self._members = {
            int(cluster): order[start : start + size].tolist()
            for cluster, start, size in zip(ids, starts, sizes, strict=True)
            if size > 1
        }

    def _rows_of(self, cluster: int, row: int) -> list[int]:
        """All rows of a cluster, one of which is `row`."""
        return self._members.get(cluster) or [row]

    def _now_called(self, cluster: int, post: str, told: int) -> int:
        """The id of a post's cluster after what has happened since so many events."""
        for event in self._events[told:]:
            if event.into is None or event.cluster != cluster:
                continue
            if event.kind == "merge" or post in event.posts:
                cluster = event.into
        return cluster

    def _here(self) -> ExemplarGallery:
        assert self._gallery is not None
        return self._gallery

    def _scores_here(self) -> PairScores:
        assert self._scores is not None
        return self._scores

    def _covariance_here(self) -> RunningCovariance:
        assert self._covariance is not None
        return self._covariance


@dataclass(frozen=True, slots=True)
class _Seen:
    """An image as it arrives."""

    numbers: NDArray[np.int8]
    scale: np.float32
    codes: NDArray[np.uint64] | None
    probe: Probe | None
    context: ImageContext


class _EarlyPost(NamedTuple):
    """A post that an exemplar stands for, with hashes of what else it may be forgotten by."""

    post: str
    author: int = 0
    url: int = 0

    @classmethod
    def of(cls, context: ImageContext) -> "_EarlyPost":
        return cls(context.post, int(_hash(context.author)), hash_of_url(context.url))


def _early_post(plain: str | tuple[str, int, int]) -> _EarlyPost:
    """From a state; before, it knew ids alone."""
    return _EarlyPost(plain) if isinstance(plain, str) else _EarlyPost(*plain)


def _distance(cosine: float) -> float:
    """Between two unit vectors."""
    return math.sqrt(max(0.0, 2 - 2 * cosine))


def _hash(name: str) -> np.uint64:
    return np.uint64(int.from_bytes(blake2b(name.encode(), digest_size=8).digest()))
