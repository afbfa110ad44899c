"""The default clusterer: verified nearest neighbours, for streams in which most images are one of a kind."""

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.records import Cluster, ClusterEvent, Patches, Vector
from core.row_log import RowLog, check_reachable
from models.arrays import BoolArray, Float32Array, Float64Array, Int64Array
from models.clusterer import NO_CONTEXT, Clusterer, ImageContext, State, check_embedding
from models.clusterers.gallery import ExemplarGallery, Probe, hash_of_url, quantize, row_type
from models.clusterers.one_thread import on_one_thread
from models.clusterers.pair_scores import PairScores
from models.clusterers.patches import PatchCoder, patch_similarities
from models.clusterers.verified_parameters import VerifiedParameters
from models.clusterers.whitening import RunningCovariance
from models.clusterers.whitening_transform import WhiteningTransform

_MIN_EXEMPLARS: Final = 3
"""Exemplars before whitening is first fitted: two would be opposites around their mean."""
_MIN_EXEMPLARS_TO_JOIN: Final = 16
"""Exemplars before posts are joined, so that the background of random pairs is known. A merge can join them later."""
_GROWTH_EARLY: Final = 1.5
_GROWTH: Final = 1.25
"""Whitening is fitted again when the number of embeddings seen has grown by this factor."""
_EARLY_EXEMPLARS: Final = 4096
"""Exemplars up to which all are compared again after each fit, because the first fits are poor."""
_EARLY_POSTS: Final = 16_384
"""Posts up to which all exemplars are compared again after each fit, for the same reason."""
_HYSTERESIS: Final = 0.85
"""Share of the limit above which two exemplars that are linked stay linked when they are compared again."""
_CODER_IMAGES: Final = 96
"""Images whose patches the coder is fitted to."""
_CANDIDATES: Final = 8
"""Nearest exemplars that are verified."""
_MIN_COSINE: Final = 0.15
"""Candidates with a lower cosine are not verified."""
_REPRESENTATIVES: Final = 8
"""The newest exemplars of a cluster, over which its mean scores are computed."""
_COHESION_JOINS: Final = 64
"""The cohesion is a plain mean over this many joins, and after that an exponential moving average."""
_NEAR_IDENTICAL: Final = (0.85, 0.95)
"""Similarity of patches and cosine of embeddings from which an exemplar represents a post."""
_CLUSTER_BONUS: Final = 4.0
"""Exemplars of a cluster are evicted as if seen this many capacities (in posts) later than a single image."""
_INLINE: Final = 256
"""From this many exemplars on, they are kept in files rather than in the snapshot."""
_FREED: Final = 0.05
"""Share of the capacity that an eviction frees."""


class VerifiedClusterer(Clusterer):
    """Clusters of exemplars; candidates from a nearest-neighbour search are verified by their patches.

    The nearest exemplars of a post are found among whitened embeddings, then compared with it patch by patch. The
    similarity of random pairs is measured on the stream itself. A post joins a cluster only if its score is far above
    that: with its nearest exemplar, and on average with the cluster. A post that links two clusters merges them under
    the same conditions, and the older id stays. A post that resembles no other gets an id of its own; the cluster is
    born with its second post.

    References:
        Sivic, Zisserman: Video Google. ICCV 2003 (spatial verification of what an index finds).
        Auckenthaler, Carey, Lloyd-Thomas: Score normalization for text-independent speaker verification. 2000.
    """

    name = "verified"
    joins_copies = True

    def __init__(self, **parameters: Any) -> None:
        """Start empty; the parameters are the fields of `VerifiedParameters`."""
        self._parameters = VerifiedParameters(**parameters)
        self._time = self._next_id = 0
        self._gallery: ExemplarGallery | None = None
        self._covariance: RunningCovariance | None = None
        self._scores: PairScores | None = None
        self._coder: PatchCoder | None = None
        self._first_patches: list[Patches] = []
        """Patches of the first exemplars that have some, until the coder is fitted for the last time."""
        self._first_rows: list[int] = []
        """The rows of these exemplars."""
        self._refit_at = float(_MIN_EXEMPLARS)
        """Embeddings seen at which whitening is fitted next."""
        self._cohesions: dict[int, tuple[float, int]] = {}
        """Of each cluster that was born: the mean score of its joins, and their number."""
        self._early: list[list[_EarlyPost]] | None = []
        """Posts that each exemplar represents, by row, while all are compared again after each fit; then None."""
        self._joined: set[int] = set()
        """Clusters merged by a correction. They are not split when exemplars are compared again."""
        self._members: dict[int, list[int]] = {}
        """Rows of each cluster that has several exemplars."""
        self._apart: set[tuple[int, int]] = set()
        """Pairs of clusters split by a correction, lesser id first. They are never merged."""
        self._log_folder: Path | None = None
        self._log: RowLog | None = None
        self._events: list[ClusterEvent] = []

    def learn(self, embedding: Vector, context: ImageContext = NO_CONTEXT, *, cluster: int | None = None) -> Cluster:
        """Learn one embedding, with the image's patches if the model provides them.

        The distance is Euclidean, to the nearest exemplar of the cluster as whitened unit vectors: 0 for the first of a
        cluster, at most 2.

        Raises:
            BadRecordError: If it is not finite, or its dimension differs from that of the embeddings before.
        """
        check_embedding(embedding, self.dimension)
        if self._gallery is None:
            self._gallery = ExemplarGallery(embedding.size, self._parameters.capacity + 1)
            self._covariance = RunningCovariance(embedding.size)
            self._scores = PairScores(self._parameters, self._gallery)
        self._time += 1
        events_before = len(self._events)
        seen = self._prepare(embedding, context)
        cluster, distance = self._assign(seen) if cluster is None else self._assign_to(cluster, seen)
        if self._time > _EARLY_POSTS:
            self._early = None
        if self._require_covariance().count >= self._refit_at or len(self._first_patches) == _CODER_IMAGES:
            with on_one_thread():
                self._refit()
        if len(self._gallery) > self._parameters.capacity:
            self._evict()
        return Cluster(self._resolve(cluster, context.post, events_before), distance)

    def predict(self, embedding: Vector, context: ImageContext = NO_CONTEXT) -> int | None:
        """Return the cluster that the image is verified with, or None."""
        check_embedding(embedding, self.dimension)
        if self._gallery is None or len(self._gallery) < _MIN_EXEMPLARS_TO_JOIN:
            return None
        probe = self._prepare(embedding, context).probe
        if probe is None:
            return None
        rows, _, scores = self._candidates(probe)
        found = self._cluster_of(probe, rows, scores)
        return None if found is None else found[0]

    def set_log_folder(self, folder: Path) -> None:
        """Keep exemplars in files below a folder, once there are 256; call it before `restore`."""
        self._log_folder = folder

    def reserve_ids_to(self, highest: int) -> None:
        """Reserve the ids up to `highest`: new clusters get greater ones."""
        self._next_id = max(self._next_id, highest + 1)

    def merge(self, one: int, other: int) -> None:
        """Merge two clusters for good, on request; the older id stays."""
        if one != other:
            stays, goes = sorted((one, other))
            self._apart = {pair for pair in self._apart if pair != (stays, goes)}
            self._merge(stays, goes)
            self._joined.add(stays)

    def split(self, posts: Collection[str]) -> int | None:
        """Move posts of one cluster into a new one for good; return its id, or None if no post is an exemplar."""
        gallery = self._require_gallery()
        rows = np.flatnonzero(np.isin(gallery.fixed["post"], [_hash(post) for post in posts]))
        if not rows.size:
            return None
        old = int(gallery.clusters[rows[0]])
        rows = rows[gallery.clusters[rows] == old]
        new = self._move(old, rows, posts)
        self._cohesions[new] = self._cohesions.get(old, (0.0, 0))
        self._apart.add((old, new))
        self._rebuild_index()
        return new

    def forget_posts(self, posts: Collection[str]) -> None:
        """Delete the exemplars of posts, so that no image is compared with them any more."""
        gone = set(posts)
        self._forget_early(lambda it: it.post in gone)
        self._drop_where("post", posts)

    def forget_author(self, author: str) -> None:
        """Delete the exemplars of an author."""
        gone = int(_hash(author))
        self._forget_early(lambda it: it.author == gone)
        self._drop_where("author", (author,))

    def forget_urls(self, urls: Collection[str]) -> None:
        """Delete the exemplars of the images at URLs."""
        gone = {hash_of_url(it) for it in urls}
        self._forget_early(lambda it: it.url in gone)
        if self._gallery is not None:
            dropped = np.isin(self._gallery.urls, list(gone))
            if dropped.any():
                self._drop(dropped)

    def events(self) -> list[ClusterEvent]:
        """Return the events of clusters since the last call."""
        events, self._events = self._events, []
        return events

    def count(self) -> int:
        """Count the clusters with two or more images."""
        return len(self._cohesions)

    def singletons(self) -> int:
        """Count the clusters with one image."""
        return 0 if self._gallery is None else self._gallery.distinct_clusters - len(self._cohesions)

    def exemplars(self) -> int:
        """Count the exemplars."""
        return 0 if self._gallery is None else len(self._gallery)

    @property
    def dimension(self) -> int | None:
        """Return the embedding dimension, or None before the first embedding."""
        return None if self._gallery is None else self._gallery.dimension

    def state(self) -> State:
        """Return a snapshot. Exemplars in files are represented by their offsets there."""
        mark = self._write_log()
        return {
            "version": 1,
            "algorithm": self.name,
            "parameters": asdict(self._parameters),
            "time": self._time,
            "next_id": self._next_id,
            "learn_at": self._refit_at,
            "dimension": self.dimension,
            "gallery": None if self._gallery is None else self._gallery.state(),
            "log": mark,
            "fixed": None if self._gallery is None or mark is not None else self._gallery.fixed.tobytes(),
            "covariance": None if self._covariance is None else self._covariance.state(),
            "space": None
            if self._gallery is None or self._gallery.whitening is None
            else self._gallery.whitening.state(),
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
        """Restore a snapshot, with the current parameters; raises `WorldError` if its files are missing."""
        self._time, self._next_id, self._refit_at = state["time"], state["next_id"], state["learn_at"]
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
        self._gallery = ExemplarGallery.of(state["dimension"], self._parameters.capacity + 1, state["gallery"], fixed)
        self._covariance = RunningCovariance.of(state["covariance"])
        self._scores = PairScores(self._parameters, self._gallery)
        self._scores.restore(state["scores"])
        if state["space"] is not None:
            self._gallery.set_whitening(WhiteningTransform.of(*state["space"]))
        self._rebuild_index()

    def _prepare(self, embedding: Vector, context: ImageContext) -> "_Arrival":
        """Quantize an embedding and encode its patches."""
        numbers, scale = quantize(embedding)
        codes = None if self._coder is None or context.patches is None else self._coder.codes(context.patches)
        return _Arrival(numbers, scale, codes, self._require_gallery().probe(numbers, scale, codes), context)

    def _assign(self, seen: "_Arrival") -> tuple[int, float]:
        """Add an image to its cluster or a new one; return its id and the distance to the nearest exemplar there."""
        probe = seen.probe
        if probe is None or not len(self._require_gallery()):
            return self._start_cluster(seen), 0.0
        if len(self._require_gallery()) < _MIN_EXEMPLARS_TO_JOIN:
            self._require_scores().sample(probe, self._time)
            return self._start_cluster(seen), 0.0
        rows, cosines, scores = self._candidates(probe)
        found = self._cluster_of(probe, rows, scores)
        self._require_scores().sample(probe, self._time)
        if found is None:
            return self._start_cluster(seen), 0.0
        cluster, nearest, linkage = found
        self._ensure_born(cluster)
        mean, joins = self._cohesions[cluster]
        joins = min(joins + 1, _COHESION_JOINS)
        self._cohesions[cluster] = mean + (linkage - mean) / joins, joins
        cosine = float(cosines[rows == nearest][0])
        row = self._join(seen, cluster, nearest, cosine)
        if row is not None:
            self._link(row, rows, scores)
        return cluster, _distance(cosine)

    def _assign_to(self, cluster: int, seen: "_Arrival") -> tuple[int, float]:
        """Add an image to a known cluster; return its id and the distance to the nearest exemplar there."""
        gallery = self._require_gallery()
        members = np.flatnonzero(gallery.clusters == cluster)
        if not members.size:
            self._events.append(ClusterEvent("revive", cluster))
            self._cohesions[cluster] = 0.0, 0
            self._add(seen, cluster)
            gallery.distinct_clusters += 1
            return cluster, 0.0
        self._ensure_born(cluster)
        if seen.probe is None:
            self._members[cluster] = [*members.tolist(), self._add(seen, cluster)]
            return cluster, 0.0
        cosines = gallery.cosines(seen.probe, members)
        nearest = int(cosines.argmax())
        self._join(seen, cluster, int(members[nearest]), float(cosines[nearest]))
        return cluster, _distance(float(cosines[nearest]))

    def _join(self, seen: "_Arrival", cluster: int, nearest: int, cosine: float) -> int | None:
        """Add an image to a cluster; return its row, or None if the nearest exemplar there represents it."""
        assert seen.probe is not None
        if self._is_represented(seen.probe, cluster, nearest, cosine):
            gallery = self._require_gallery()
            gallery.posts[nearest] += 1
            gallery.seen[nearest] = self._time
            if self._early is not None:
                self._early[nearest].append(_EarlyPost.of(seen.context))
            return None
        members = self._rows_of(cluster, nearest)
        row = self._add(seen, cluster)
        self._members[cluster] = [*members, row]
        return row

    def _candidates(self, probe: Probe) -> tuple[Int64Array, Float32Array, Float64Array]:
        """Return the rows of the nearest exemplars, their cosines and their z-scores, each of shape (n,), n <= 8."""
        rows, cosines = self._require_gallery().nearest(probe, _CANDIDATES)
        near = cosines >= _MIN_COSINE
        rows, cosines = rows[near], cosines[near]
        return rows, cosines, self._require_scores().z_scores(probe, rows, cosines)

    def _cluster_of(self, probe: Probe, rows: Int64Array, scores: Float64Array) -> tuple[int, int, float] | None:
        """Return the cluster that an image joins, the row of the nearest exemplar there, and the mean score with it."""
        clusters, margins = self._require_gallery().clusters[rows], scores - self._require_scores().limits(probe, rows)
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
            linkage = float(self._require_scores().z_scores(probe, np.array(members[-_REPRESENTATIVES:])).mean())
            if linkage > self._min_linkage(cluster):
                return cluster, row, linkage
        return None

    def _min_linkage(self, *clusters: int) -> float:
        """Return the mean score that a new member of a cluster, or a merge of several, must exceed."""
        cohesions = [self._cohesions.get(cluster, (0.0, 0))[0] for cluster in clusters]
        return max(self._parameters.linkage, self._parameters.cohesion * max(cohesions))

    def _is_represented(self, probe: Probe, cluster: int, row: int, cosine: float) -> bool:
        """Check whether an exemplar represents the image: a near-identical one, or any if its cluster is full."""
        gallery = self._require_gallery()
        if len(self._members.get(cluster, ())) >= self._parameters.exemplars:
            return True
        patches, embedding = _NEAR_IDENTICAL
        if cosine < embedding:
            return False
        if probe.codes is None:
            return True
        return float(patch_similarities(probe.codes, gallery.fixed["codes"][[row]])[0]) >= patches

    def _link(self, row: int, rows: Int64Array, scores: Float64Array) -> None:
        """Merge the cluster of exemplar `row` with those of the candidates `rows` that it is verified with."""
        gallery = self._require_gallery()
        margins = scores - self._require_scores().limits(gallery.probe_of(row), rows)
        for place in np.argsort(-margins, kind="stable"):
            if margins[place] <= 0:
                return
            one, other = int(gallery.clusters[row]), int(gallery.clusters[rows[place]])
            if one == other or (min(one, other), max(one, other)) in self._apart:
                continue
            these, those = self._rows_of(one, row), self._rows_of(other, int(rows[place]))
            if len(these) * len(those) == 1 or self._mean_score_between(these, those) > self._min_linkage(one, other):
                self._merge(min(one, other), max(one, other))

    def _mean_score_between(self, these: list[int], those: list[int]) -> float:
        gallery, others = self._require_gallery(), np.array(those[-_REPRESENTATIVES:])
        means = [
            self._require_scores().z_scores(gallery.probe_of(row), others).mean() for row in these[-_REPRESENTATIVES:]
        ]
        return float(np.mean(means))

    def _merge(self, stays: int, goes: int) -> None:
        """Merge cluster `goes` into `stays`."""
        gallery = self._require_gallery()
        rows = np.flatnonzero((gallery.clusters == stays) | (gallery.clusters == goes))
        gallery.distinct_clusters -= len(np.unique(gallery.clusters[rows])) - 1 if rows.size else 0
        gallery.clusters[rows] = stays
        self._members.pop(goes, None)
        if len(rows) > 1:
            self._members[stays] = rows.tolist()
        self._ensure_born(stays)
        one, joins = self._cohesions[stays]
        other, more = self._cohesions.pop(goes, (0.0, 0))
        together = joins + more
        self._cohesions[stays] = (one * joins + other * more) / max(1, together), min(together, _COHESION_JOINS)
        renamed = [[stays if it == goes else it for it in pair] for pair in self._apart]
        self._apart = {(min(pair), max(pair)) for pair in renamed}
        if goes in self._joined:
            self._joined = self._joined - {goes} | {stays}
        self._events.append(ClusterEvent("merge", goes, stays))

    def _ensure_born(self, cluster: int) -> None:
        """Record the birth of a cluster that is about to get its second post."""
        if cluster not in self._cohesions:
            self._cohesions[cluster] = 0.0, 0
            self._events.append(ClusterEvent("birth", cluster))

    def _start_cluster(self, seen: "_Arrival") -> int:
        """Add an image with a new id and return that."""
        cluster = self._new_id()
        self._add(seen, cluster)
        self._require_gallery().distinct_clusters += 1
        return cluster

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    def _add(self, seen: "_Arrival", cluster: int) -> int:
        """Add an image as an exemplar and return its row."""
        gallery = self._require_gallery()
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
        self._require_covariance().add(seen.numbers * seen.scale)
        return row

    @property
    def _is_coder_open(self) -> bool:
        return self._coder is None or bool(self._first_patches)

    def _refit(self) -> None:
        """Fit whitening, and the patch coder while it is not final; early on, split and merge by the better scores."""
        gallery, covariance = self._require_gallery(), self._require_covariance()
        gallery.set_whitening(covariance.fit_whitening())
        if self._first_patches:
            patches = np.array(self._first_patches)
            self._coder = PatchCoder.fit(patches)
            gallery.fixed["codes"][self._first_rows] = self._coder.codes(patches)
            gallery.fixed["coded"][self._first_rows] = True
            if len(self._first_patches) >= _CODER_IMAGES:
                self._first_patches, self._first_rows = [], []
        early = len(gallery) <= _EARLY_EXEMPLARS
        if not early:
            self._early = None
        elif len(gallery) >= _MIN_EXEMPLARS_TO_JOIN:
            self._split_all()
            self._merge_all()
        self._refit_at = (_GROWTH_EARLY if early else _GROWTH) * covariance.count

    def _split_all(self) -> None:
        """Split clusters that are several after the new fit: a poor one had joined them."""
        if self._early is None:
            return
        for cluster, rows in list(self._members.items()):
            if cluster in self._joined:
                continue
            first, *others = self._parts(np.array(rows))
            self._cohesions[cluster] = self._cohesion_of(first)
            for part in others:
                posts = [it.post for row in part for it in self._early[row]]
                if all(posts):  # a split names its posts, so those without an id cannot move
                    new = self._move(cluster, part, posts)
                    if len(posts) > 1:
                        self._cohesions[new] = self._cohesion_of(part)
        self._rebuild_index()

    def _parts(self, rows: Int64Array) -> list[Int64Array]:
        """Return the connected components of a cluster's rows, the largest first; links are scores above the limit."""
        linked = np.zeros((len(rows), len(rows)), np.bool_)
        for place, row in enumerate(rows):
            probe = self._require_gallery().probe_of(row)
            limits = _HYSTERESIS * self._require_scores().limits(probe, rows)
            linked[place] = self._require_scores().z_scores(probe, rows) > limits
        linked |= linked.T
        part = np.full(len(rows), -1)
        for start in range(len(rows)):
            if part[start] < 0:
                reached = np.arange(len(rows)) == start
                while (more := reached | linked[reached].any(axis=0)).sum() > reached.sum():
                    reached = more
                part[reached] = start
        return sorted((rows[part == it] for it in np.unique(part)), key=len, reverse=True)

    def _cohesion_of(self, rows: Int64Array) -> tuple[float, int]:
        """Return the mean score among the newest of the rows, and the number of joins that it counts for."""
        if len(rows) == 1:
            return 0.0, 0
        some = rows[-_REPRESENTATIVES:]
        scores = np.array(
            [self._require_scores().z_scores(self._require_gallery().probe_of(row), some) for row in some]
        )
        return float(scores[~np.eye(len(some), dtype=np.bool_)].mean()), min(len(rows) - 1, _COHESION_JOINS)

    def _move(self, old: int, rows: Int64Array, posts: Collection[str]) -> int:
        """Move exemplars of a cluster, and the posts that they represent, to a new cluster; return its id."""
        new = self._new_id()
        self._require_gallery().clusters[rows] = new
        self._events.append(ClusterEvent("split", old, new, tuple(posts)))
        return new

    def _merge_all(self) -> None:
        """Compare all exemplars again and merge their clusters: the first ones were scored by a poor fit."""
        gallery = self._require_gallery()
        for row in range(len(gallery)):
            probe = gallery.probe_of(row)
            rows, cosines = gallery.nearest(probe, _CANDIDATES + 1)
            other = (gallery.clusters[rows] != gallery.clusters[row]) & (cosines >= _MIN_COSINE)
            if other.any():
                self._link(row, rows[other], self._require_scores().z_scores(probe, rows[other], cosines[other]))

    def _evict(self) -> None:
        """Evict the exemplars least recently seen; those of a cluster stay longer than single images."""
        gallery = self._require_gallery()
        value = gallery.seen + _CLUSTER_BONUS * self._parameters.capacity * np.isin(
            gallery.clusters, list(self._cohesions)
        )
        gone = np.argsort(value, kind="stable")[: len(gallery) - round((1 - _FREED) * self._parameters.capacity)]
        dropped = np.zeros(len(gallery), np.bool_)
        dropped[gone] = True
        self._drop(dropped)

    def _forget_early(self, is_gone: Callable[["_EarlyPost"], bool]) -> None:
        if self._early is not None:
            self._early = [[it for it in posts if not is_gone(it)] for posts in self._early]

    def _drop_where(self, field: str, names: Collection[str]) -> None:
        """Delete the exemplars whose field is the hash of one of the names; most names are unknown."""
        if self._gallery is None:
            return
        dropped = np.isin(self._gallery.fixed[field], _hashes(names))
        if dropped.any():
            self._drop(dropped)

    def _drop(self, dropped: BoolArray) -> None:
        """Delete the exemplars where `dropped`, of shape (n,), is True; blank them in the log and retire clusters."""
        gallery = self._require_gallery()
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
        gallery.retain(~dropped)
        self._rebuild_index()
        alive = set(gallery.clusters.tolist())
        for cluster in [it for it in self._cohesions if it not in alive]:
            del self._cohesions[cluster]
            self._events.append(ClusterEvent("retire", cluster))

    def _write_log(self) -> dict[str, Any] | None:
        """Append new exemplars to the log, compact sparse files and release empty ones; None if there is no log."""
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

    def _rebuild_index(self) -> None:
        """Index the rows of clusters with several exemplars."""
        clusters = self._require_gallery().clusters
        order = np.argsort(clusters, kind="stable")
        ids, starts, sizes = np.unique(clusters[order], return_index=True, return_counts=True)
        self._require_gallery().distinct_clusters = len(ids)
        self._members = {
            int(cluster): order[start : start + size].tolist()
            for cluster, start, size in zip(ids, starts, sizes, strict=True)
            if size > 1
        }

    def _rows_of(self, cluster: int, row: int) -> list[int]:
        """Return all rows of a cluster, given one of them."""
        return self._members.get(cluster) or [row]

    def _resolve(self, cluster: int, post: str, since: int) -> int:
        """Return the id of a post's cluster after the merges and splits among the events from index `since` on."""
        for event in self._events[since:]:
            if event.into is None or event.cluster != cluster:
                continue
            if event.kind == "merge" or post in event.posts:
                cluster = event.into
        return cluster

    def _require_gallery(self) -> ExemplarGallery:
        assert self._gallery is not None
        return self._gallery

    def _require_scores(self) -> PairScores:
        assert self._scores is not None
        return self._scores

    def _require_covariance(self) -> RunningCovariance:
        assert self._covariance is not None
        return self._covariance


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A new image: its quantized embedding (`numbers` times `scale`), patch codes and context."""

    numbers: NDArray[np.int8]
    scale: np.float32
    codes: NDArray[np.uint64] | None
    probe: Probe | None
    context: ImageContext


class _EarlyPost(NamedTuple):
    """A post that an exemplar represents, with hashes of the author and URL that deletes may name."""

    post: str
    author: int = 0
    url: int = 0

    @classmethod
    def of(cls, context: ImageContext) -> "_EarlyPost":
        return cls(context.post, int(_hash(context.author)), hash_of_url(context.url))


def _early_post(stored: str | tuple[str, int, int]) -> _EarlyPost:
    """Restore a post from a snapshot; those of earlier versions hold only its id."""
    return _EarlyPost(stored) if isinstance(stored, str) else _EarlyPost(*stored)


def _distance(cosine: float) -> float:
    """Return the Euclidean distance of two unit vectors."""
    return math.sqrt(max(0.0, 2 - 2 * cosine))


def _hash(name: str) -> np.uint64:
    return np.uint64(_hashes([name])[0])


def _hashes(names: Iterable[str]) -> NDArray[np.uint64]:
    """Hash names to 64 bits each, at half the cost of one by one: a delete of a post has 21 possible names."""
    digests = b"".join(blake2b(name.encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(digests, ">u8").astype(np.uint64)
