"""Clustering by several workers: shards learn from the posts that they get, and one logic agrees on what is one."""

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
    noted,
    recent_of,
    removals_together,
)

OfShard = tuple[int, ToLearn]
"""What a shard is to learn or to forget, with its number: a logic is not told its key."""


@dataclass(frozen=True, slots=True)
class ShardUpdate:
    """What a shard says: of a post, the cluster that it has there; or what became of a cluster of its own."""

    shard: int
    what: ClusterAnswer
    embedding: StageResult[Vector] | None = None
    """Of a post."""


class ShardLogic(StatefulBatchLogic[OfShard, ShardUpdate, dict[str, Any]]):
    """One shard; copies are looked for by all together."""

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
        """What to say of each post, in order, then of clusters."""
        given = [it for _, it in values]
        embeddings = [it for it in given if isinstance(it, StageResult)]
        answers, discard = self._logic.on_batch(
            [replace(it, fingerprint=None) if isinstance(it, StageResult) else it for it in given]
        )
        shard = values[0][0]
        told = [
            ShardUpdate(shard, answer, embeddings[place] if place < len(embeddings) else None)
            for place, answer in enumerate(answers)
        ]
        return told, discard

    def snapshot(self) -> dict[str, Any]:
        """Plain values."""
        return self._logic.snapshot()


class ShardMergerLogic(StatefulBatchLogic[ShardUpdate | Removal, ClusterAnswer, dict[str, Any]]):
    """From the clusters of shards to those of all."""

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
        """One side for each post, in order, then what became of clusters."""
        sides: list[ClusterAnswer] = []
        for told in removals_together(values):
            if isinstance(told, list):
                for_good = [it for it in told if it.hidden is None]
                forget(for_good, self._merger, self._duplicates, self._recent)
            elif isinstance(told.what, ClusterEvent):
                self._merger.apply(told.shard, told.what)
            else:
                sides.append(self._side(told, told.what))
        count_clusters(self._merger)
        return [*sides, *self._merger.events()], StatefulBatchLogic.RETAIN

    def snapshot(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "version": 1,
            "agreement": self._merger.state(),
            "recent": dict(self._recent),
            "duplicates": self._duplicates.state(),
        }

    def _side(self, told: ShardUpdate, own: StageResult[Cluster]) -> StageResult[Cluster]:
        embedding = told.embedding
        if not isinstance(own.value, Cluster) or embedding is None or not isinstance(embedding.value, np.ndarray):
            return own
        found = known_cluster(embedding, self._merger, self._duplicates, self._recent)
        if found is None:
            context = ImageContext(embedding.patches, own.global_id, embedding.author, embedding.url)
            found = self._merger.learn(told.shard, own.value, embedding.value, context)
            looks = embedding.fingerprint
            original = None if looks is None else self._duplicates.find_original(own.global_id, looks)
            found = noted(found, embedding, original, self._duplicates, self._recent)
        return replace(own, value=found)
