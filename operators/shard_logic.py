"""Clustering by several workers: each shard learns from its posts, and a merger unifies the clusters of all shards."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from bytewax.operators import StatefulBatchLogic

from core.records import Cluster, ClusterEvent, Removal, StageResult, Vector
from models.clusterer import Clusterer, ImageContext
from models.clusterers.shard_merger import ShardMerger
from models.duplicates import Duplicates
from operators.cluster_logic import (
    ClusterAnswer,
    ClusterLogic,
    ToLearn,
    count_clusters,
    forget,
    known_cluster,
    recent_of,
    remember_post,
    removals_together,
)

OfShard = tuple[int, ToLearn]
"""An embedding or removal with the index of its shard, since a logic does not know its key."""


@dataclass(frozen=True, slots=True)
class ShardUpdate:
    """Output of a shard: the cluster of a post within the shard, or a change of one of its clusters."""

    shard: int
    what: ClusterAnswer
    embedding: StageResult[Vector] | None = None
    """Embedding of the post."""


class ShardLogic(StatefulBatchLogic[OfShard, ShardUpdate, dict[str, Any]]):
    """One shard of the clustering; duplicates are searched for by the merger, over all shards."""

    def __init__(
        self,
        clusterer: Clusterer,
        shards: int,
        state: dict[str, Any] | None = None,
        dimension: int | None = None,
        log_folder: Path | None = None,
        memory_days: float = math.inf,
    ) -> None:
        self._logic = ClusterLogic(
            clusterer, state, shards=shards, dimension=dimension, log_folder=log_folder, memory_days=memory_days
        )

    def on_batch(self, values: list[OfShard]) -> tuple[list[ShardUpdate], bool]:
        """Return the shard's cluster of each post, in order, then the changes of clusters."""
        given = [it for _, it in values]
        embeddings = [it for it in given if isinstance(it, StageResult)]
        answers, discard = self._logic.on_batch(
            [replace(it, fingerprint=None) if isinstance(it, StageResult) else it for it in given]
        )
        shard = values[0][0]
        updates = [
            ShardUpdate(shard, answer, embeddings[place] if place < len(embeddings) else None)
            for place, answer in enumerate(answers)
        ]
        return updates, discard

    def snapshot(self) -> dict[str, Any]:
        """Return the state as plain values."""
        return self._logic.snapshot()


class ShardMergerLogic(StatefulBatchLogic[ShardUpdate | Removal, ClusterAnswer, dict[str, Any]]):
    """Merges the clusters of the shards into global clusters."""

    def __init__(
        self, merger: ShardMerger, state: dict[str, Any] | None = None, log_folder: Path | None = None
    ) -> None:
        self._merger = merger
        self._duplicates = Duplicates(state["duplicates"] if state else None, log_folder=log_folder)
        if log_folder is not None:
            merger.set_log_folder(log_folder)
        self._recent = recent_of(state["recent"] if state else {})
        if state is not None:
            self._merger.restore(state["agreement"])

    def on_batch(self, values: list[ShardUpdate | Removal]) -> tuple[list[ClusterAnswer], bool]:
        """Return a stage result for each post, in order, then the changes of clusters."""
        results: list[ClusterAnswer] = []
        for update in removals_together(values):
            if isinstance(update, list):
                for_good = [it for it in update if it.hidden is None]
                forget(for_good, self._merger, self._duplicates, self._recent)
            elif isinstance(update.what, ClusterEvent):
                self._merger.apply(update.shard, update.what)
            else:
                results.append(self._result(update, update.what))
        count_clusters(self._merger)
        return [*results, *self._merger.events()], StatefulBatchLogic.RETAIN

    def snapshot(self) -> dict[str, Any]:
        """Return the state as plain values."""
        return {
            "version": 1,
            "agreement": self._merger.state(),
            "recent": dict(self._recent),
            "duplicates": self._duplicates.state(),
        }

    def _result(self, update: ShardUpdate, own: StageResult[Cluster]) -> StageResult[Cluster]:
        embedding = update.embedding
        if not isinstance(own.value, Cluster) or embedding is None or not isinstance(embedding.value, np.ndarray):
            return own
        found = known_cluster(embedding, self._merger, self._duplicates, self._recent)
        if found is None:
            context = ImageContext(embedding.patches, own.global_id, embedding.author, embedding.url)
            found = self._merger.learn(update.shard, own.value, embedding.value, context)
            looks = embedding.fingerprint
            original = None if looks is None else self._duplicates.find_original(own.global_id, looks)
            found = remember_post(found, embedding, original, self._duplicates, self._recent)
        return replace(own, value=found)
