"""A clusterer as the logic of a stateful step, which is recovered with the flow."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from time import perf_counter
from typing import Any, Final, Protocol, TypeVar, cast

from bytewax.operators import StatefulBatchLogic

from core.bounded_dict import BoundedDict
from core.records import Cluster, ClusterEvent, Failure, Removal, StageResult, Vector
from core.removals import Removed, ids_of
from core.telemetry import CLUSTERS, SINGLETONS, STEP_ERRORS
from models.clusterer import Clusterer, ImageContext
from models.clusterers.shard_merger import ShardMerger
from models.clusterers.snapshot_compatibility import check_dimension, check_same
from models.duplicates import Duplicates, Original

X = TypeVar("X")

STAGE: Final = Clusterer.stage
REMEMBERED: Final = 4096
"""Posts whose cluster is remembered in case they come again."""

ClusterAnswer = StageResult[Cluster] | ClusterEvent
"""The cluster of a post, or a change of a cluster."""


class Counted(Protocol):
    """A clusterer whose clusters can be counted."""

    def count(self) -> int:
        """Return the number of live clusters."""

    def singletons(self) -> int | None:
        """Return the number of clusters with one image; None if unknown."""


def count_clusters(clusterer: Counted) -> None:
    """Set the metrics to the counts of a clusterer."""
    CLUSTERS.set(clusterer.count())
    if (alone := clusterer.singletons()) is not None:
        SINGLETONS.set(alone)


ToLearn = StageResult[Vector] | Removal
"""An embedding to learn, or a removal to forget."""

KnownCluster = tuple[int, float, str | None, float | None, int | None, int | None]
"""The cluster of a post: id, distance, id of the post it duplicates, last edit (seconds since 1970), and hashes of
its account and of its image's URL."""


class ClusterLogic(StatefulBatchLogic[ToLearn, ClusterAnswer, dict[str, Any]]):
    """A clusterer and the posts it saw last: a post that comes again keeps its cluster, and is not learned again.

    If such a post was edited to another image, its old image is forgotten and the new one learned.

    Deleted posts are forgotten, and are not learned if they arrive after their delete.
    """

    def __init__(
        self,
        clusterer: Clusterer,
        state: dict[str, Any] | None = None,
        *,
        shards: int = 1,
        dimension: int | None = None,
        log_folder: Path | None = None,
        memory_days: float = math.inf,
    ) -> None:
        """Start empty, or restore from a snapshot.

        Args:
            clusterer: A clusterer that has learned nothing yet.
            state: A snapshot.
            shards: Number of such logics, each with its share of the posts.
            dimension: Dimension of the embeddings, if known.
            log_folder: Folder for files of exemplars and fingerprints, so that snapshots stay small.
            memory_days: Days that a delete is remembered.

        Raises:
            WorldError: if these files are missing.
            SettingsError: if the snapshot is of another clusterer, number of shards or embedding dimension.
        """
        self._clusterer = clusterer
        self._shards = shards
        self._recent: BoundedDict[str, KnownCluster] = BoundedDict(REMEMBERED)
        self._duplicates = Duplicates(state.get("duplicates") if state else None, log_folder=log_folder)
        self._removed = Removed(state.get("removed") if state else None, days=memory_days)
        if log_folder is not None:
            clusterer.set_log_folder(log_folder)
        if state is not None:
            check_same(state, clusterer.name, shards)
            self._clusterer.restore(state["clusterer"])
            check_dimension(self._clusterer.dimension, dimension)
            self._recent = recent_of(state["recent"])
        self._count()

    def on_batch(self, values: list[ToLearn]) -> tuple[list[ClusterAnswer], bool]:
        """Return a stage result for each embedding, in order, then the changes of clusters."""
        answers: list[ClusterAnswer] = []
        events: list[ClusterEvent] = []
        for it in removals_together(values):
            if isinstance(it, list):
                self._forget(it)
            else:
                answers.append(self._result(it))
            new = self._clusterer.events()
            for event in new:
                if event.kind == "merge" and event.into is not None:
                    self._duplicates.merge(event.cluster, event.into)
                elif event.kind == "split" and event.into is not None:
                    self._duplicates.split(event.posts, event.into)
            events += new
        self._count()
        return [*answers, *events], StatefulBatchLogic.RETAIN

    def snapshot(self) -> dict[str, Any]:
        """Return the state as plain values."""
        return {
            "version": 4,
            "shards": self._shards,
            "clusterer": self._clusterer.state(),
            "recent": dict(self._recent),
            "duplicates": self._duplicates.state(),
            "removed": self._removed.state(),
        }

    def _count(self) -> None:
        if self._shards == 1:  # clusters of several shards are counted where they are merged
            count_clusters(self._clusterer)

    def _forget(self, removals: list[Removal]) -> None:
        for_good = [it for it in removals if it.hidden is None]
        for it in for_good:
            self._removed.note(it)
        forget(for_good, self._clusterer, self._duplicates, self._recent)

    def _result(self, embedding: StageResult[Vector]) -> StageResult[Cluster]:
        start = perf_counter()
        value = self._cluster(embedding)
        seconds = perf_counter() - start
        return StageResult(
            embedding.global_id,
            STAGE,
            value,
            seconds,
            self._clusterer.name,
            ticket=embedding.ticket,
            trace=embedding.trace,
        )

    def _cluster(self, embedding: StageResult[Vector]) -> Cluster | Failure | None:
        global_id, vector = embedding.global_id, embedding.value
        if vector is None or isinstance(vector, Failure):
            return vector
        if self._removed.has(global_id, embedding.post_id, embedding.author, lambda: embedding.changed, embedding.url):
            return None
        if (kept := known_cluster(embedding, self._clusterer, self._duplicates, self._recent)) is not None:
            return kept
        looks, original = embedding.fingerprint, None
        if looks is not None:
            original = self._duplicates.find_original(global_id, looks)
        known = original.cluster if original is not None and self._clusterer.joins_copies else None
        context = ImageContext(embedding.patches, global_id, embedding.author, embedding.url)
        try:
            found = self._clusterer.learn(vector, context, cluster=known if known is not None and known >= 0 else None)
        except Exception as error:
            STEP_ERRORS.labels(STAGE).inc()
            return Failure.of(STAGE, error)
        return remember_post(found, embedding, original, self._duplicates, self._recent)


def removals_together(values: Iterable[X | Removal]) -> Iterator[X | list[Removal]]:
    """Yield items in order, with consecutive removals as one list: forgetting many costs as much as one."""
    for are_removals, group in groupby(values, lambda it: isinstance(it, Removal)):
        if are_removals:
            yield cast("list[Removal]", list(group))
        else:
            yield from cast("Iterator[X]", group)


def recent_of(state: Mapping[str, tuple[Any, ...]]) -> BoundedDict[str, KnownCluster]:
    """Restore the recent posts of a snapshot. Older versions lack duplicates, then edits, then accounts, then URLs."""
    return BoundedDict(
        REMEMBERED, ((it, cast("KnownCluster", (*found, None, None, None, None)[:6])) for it, found in state.items())
    )


def remember_post(
    found: Cluster,
    embedding: StageResult[Vector],
    original: Original | None,
    duplicates: Duplicates,
    recent: dict[str, KnownCluster],
) -> Cluster:
    """Remember a learned post, and its fingerprint unless it is a duplicate; returns its final cluster."""
    if original is not None:
        found = replace(found, duplicate_of=original.post)
    elif embedding.fingerprint is not None:
        duplicates.remember(embedding.global_id, embedding.fingerprint, found.id, embedding.author, embedding.url)
    recent[embedding.global_id] = known_of(found, embedding)
    return found


def known_of(found: Cluster, embedding: StageResult[Vector]) -> KnownCluster:
    """Make the entry to remember for a learned post."""
    edited = None if embedding.edited is None else embedding.edited.timestamp()
    return found.id, found.distance, found.duplicate_of, edited, _hash(embedding.author), _hash(embedding.url)


def known_cluster(
    embedding: StageResult[Vector],
    clusterer: Clusterer | ShardMerger,
    duplicates: Duplicates,
    recent: dict[str, KnownCluster],
) -> Cluster | None:
    """Return the cluster of a post that comes again; None if it is new, or edited to another image.

    In the latter case, its old image is forgotten.
    """
    global_id, looks, edited = embedding.global_id, embedding.fingerprint, embedding.edited
    known = recent.get(global_id)
    if known is None:
        return None
    cluster, before = Cluster(*known[:3]), known[3]
    if edited is None or (before is not None and edited.timestamp() <= before):
        return cluster
    if looks is not None and duplicates.has_same_image(global_id, looks):
        recent[global_id] = known_of(cluster, embedding)
        return cluster
    clusterer.forget_posts({global_id})
    duplicates.forget({global_id})
    return None


def forget_originals(ids: set[str], recent: dict[str, KnownCluster]) -> None:
    """Clear `duplicate_of` in remembered posts whose original was deleted."""
    for it, known in recent.items():
        if known[2] in ids:
            dict.__setitem__(recent, it, (*known[:2], None, *known[3:]))


def forget(
    removals: Sequence[Removal],
    clusterer: Clusterer | ShardMerger,
    duplicates: Duplicates,
    recent: dict[str, KnownCluster],
) -> None:
    """Forget all that is kept of deleted images."""
    if ids := {name for it in removals for name in ids_of(it)}:
        clusterer.forget_posts(ids)
        duplicates.forget(ids)
        for it in ids:
            recent.pop(it, None)
        forget_originals(ids, recent)
    accounts = sorted({it.account for it in removals if it.account})
    for account in accounts:
        clusterer.forget_author(account)
        duplicates.forget_author(account)
    urls = sorted({it.url for it in removals if it.url})
    originals = duplicates.forget_urls(urls) if urls else set()
    if urls:
        clusterer.forget_urls(urls)
    if accounts or urls:
        theirs, there = ({_hash(name) for name in names} for names in (accounts, urls))
        gone = {it for it, known in recent.items() if known[4] in theirs or known[5] in there}
        for it in gone:
            del recent[it]
        forget_originals(gone | originals, recent)


def _hash(name: str) -> int | None:
    """Hash a name to 64 bits; None if it is empty."""
    return int.from_bytes(blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest()) if name else None
