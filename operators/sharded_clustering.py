"""Clustering by several workers: shards learn from the posts that they get, and one step agrees on what is one."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final
from zlib import crc32

import numpy as np
from bytewax import operators as op
from bytewax.dataflow import Stream
from bytewax.operators import KeyedStream, StatefulBatchLogic

from core.bounded import Bounded
from core.records import Cluster, ClusterEvent, Embedded, Side
from core.telemetry import CLUSTERS, step
from models.clusterer import Clusterer
from models.clusterers.agreement import Agreement
from models.clusterers.choice import make_agreement, make_shard
from models.duplicates import Duplicates
from models.model_settings import ClusterSettings
from operators.clustering import REMEMBERED, STAGE, Answer, Clustered, ClusterLogic, cluster, clustered

_KEY: Final = "all"


@dataclass(frozen=True, slots=True)
class Told:
    """What a shard says: of a post, the cluster that it has there; or what became of a cluster of its own."""

    shard: int
    what: Side[Cluster] | ClusterEvent
    embedded: Embedded | None = None
    """Of a post."""


def cluster_by(
    step_id: str,
    embedded: Stream[Embedded],
    settings: ClusterSettings,
    make_clusterer: Callable[[], Clusterer],
    dimension: int | None = None,
) -> Clustered:
    """Cluster embeddings of `dimension` numbers as the settings say: in one place, or in shards.

    Raises `SettingsError` where shards cannot be.
    """
    shards = settings.cluster_shards
    if shards == 1 or settings.models == "stand-in":
        return cluster(step_id, embedded, make_clusterer, dimension)
    make_agreement(settings)  # what is wrong is said now
    keyed = op.key_on(f"{step_id}_key", embedded, lambda it: str(_shard_of(it.side.global_id, shards)))
    told: KeyedStream[Told] = op.stateful_batch(
        step_id, keyed, lambda state: ShardLogic(make_shard(settings), shards, state, dimension)
    )
    agreed = op.key_on(f"{step_id}_agree_key", op.map(f"{step_id}_told", told, lambda item: item[1]), lambda _: _KEY)
    answers: KeyedStream[Answer] = op.stateful_batch(
        f"{step_id}_agree", agreed, lambda state: AgreeLogic(make_agreement(settings), state)
    )
    return clustered(step_id, answers)


def _shard_of(global_id: str, shards: int) -> int:
    return crc32(global_id.encode()) % shards


class ShardLogic(StatefulBatchLogic[Embedded, Told, dict[str, Any]]):
    """One shard; copies are looked for by all together."""

    def __init__(
        self, clusterer: Clusterer, shards: int, state: dict[str, Any] | None = None, dimension: int | None = None
    ) -> None:
        self._shards = shards
        self._logic = ClusterLogic(clusterer, state, shards=shards, dimension=dimension)

    def on_batch(self, values: list[Embedded]) -> tuple[list[Told], bool]:
        """What to say of each post, in order, then of clusters."""
        answers, discard = self._logic.on_batch([replace(value, fingerprint=None) for value in values])
        shard = _shard_of(values[0].side.global_id, self._shards)  # a logic is not told its key
        told = [
            Told(shard, answer, values[place] if place < len(values) else None) for place, answer in enumerate(answers)
        ]
        return told, discard

    def snapshot(self) -> dict[str, Any]:
        """Plain values."""
        return self._logic.snapshot()


class AgreeLogic(StatefulBatchLogic[Told, Answer, dict[str, Any]]):
    """From the clusters of shards to those of all."""

    def __init__(self, agreement: Agreement, state: dict[str, Any] | None = None) -> None:
        self._agreement = agreement
        self._duplicates = Duplicates(state["duplicates"] if state else None)
        self._recent: Bounded[str, tuple[int, float, str | None]] = Bounded(
            REMEMBERED, state["recent"].items() if state else ()
        )
        if state is not None:
            self._agreement.restore(state["agreement"])

    def on_batch(self, values: list[Told]) -> tuple[list[Answer], bool]:
        """One side for each post, in order, then what became of clusters."""
        sides: list[Answer] = []
        with step(STAGE, len(values)):
            for told in values:
                if isinstance(told.what, ClusterEvent):
                    self._agreement.hear(told.shard, told.what)
                else:
                    sides.append(self._side(told, told.what))
        CLUSTERS.set(self._agreement.count())
        return [*sides, *self._agreement.events()], StatefulBatchLogic.RETAIN

    def snapshot(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "version": 1,
            "agreement": self._agreement.state(),
            "recent": dict(self._recent),
            "duplicates": self._duplicates.state(),
        }

    def _side(self, told: Told, own: Side[Cluster]) -> Side[Cluster]:
        embedded = told.embedded
        if not isinstance(own.value, Cluster) or embedded is None or not isinstance(embedded.side.value, np.ndarray):
            return own
        if own.global_id not in self._recent:
            found = self._agreement.learn(told.shard, own.value, embedded.side.value)
            if embedded.fingerprint is not None:
                found = replace(found, duplicate_of=self._duplicates.original(own.global_id, embedded.fingerprint))
            self._recent[own.global_id] = found.id, found.distance, found.duplicate_of
        return replace(own, value=Cluster(*self._recent[own.global_id]))
