"""Clustering as a stateful step: one key, one clusterer, in the order of arrival, recovered with the flow."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, Final

from bytewax import operators as op
from bytewax.dataflow import Stream
from bytewax.operators import KeyedStream, StatefulBatchLogic

from core.bounded import Bounded
from core.records import Cluster, ClusterEvent, Embedded, Failed, Side
from core.telemetry import CLUSTERS, STEP_ERRORS, step
from models.clusterer import Clusterer
from models.clusterers.resuming import check_dimension, check_same
from models.duplicates import Duplicates

STAGE: Final = Clusterer.stage
_KEY: Final = "all"
REMEMBERED: Final = 4096
"""Posts whose cluster is known should they come again."""

Answer = Side[Cluster] | ClusterEvent


@dataclass(frozen=True, slots=True)
class Clustered:
    """What clustering gives."""

    sides: Stream[Side[Cluster]]
    events: Stream[ClusterEvent]
    """Births, merges and retirements of clusters, in order."""


def cluster(
    step_id: str, embedded: Stream[Embedded], make_clusterer: Callable[[], Clusterer], dimension: int | None = None
) -> Clustered:
    """Say for each embedding of `dimension` numbers which cluster it falls into; a failure is passed on."""
    keyed = op.key_on(f"{step_id}_key", embedded, lambda _: _KEY)
    answers: KeyedStream[Answer] = op.stateful_batch(
        step_id, keyed, lambda state: ClusterLogic(make_clusterer(), state, dimension=dimension)
    )
    return clustered(step_id, answers)


def clustered(step_id: str, answers: KeyedStream[Answer]) -> Clustered:
    """Answers told apart."""
    return Clustered(
        op.flat_map_batch(f"{step_id}_sides", answers, lambda batch: [it for _, it in batch if isinstance(it, Side)]),
        op.flat_map_batch(
            f"{step_id}_events", answers, lambda batch: [it for _, it in batch if isinstance(it, ClusterEvent)]
        ),
    )


class ClusterLogic(StatefulBatchLogic[Embedded, Answer, dict[str, Any]]):
    """A clusterer, and the posts it saw last: one that comes again keeps its cluster and is not learned again."""

    def __init__(
        self,
        clusterer: Clusterer,
        state: dict[str, Any] | None = None,
        *,
        shards: int = 1,
        dimension: int | None = None,
    ) -> None:
        """Begin, or go on from a state.

        Args:
            clusterer: That has learned nothing yet.
            state: A snapshot.
            shards: How many of these there are, each with its part of the posts.
            dimension: Numbers of the embeddings to come, where that is known.

        Raises:
            SettingsError: where the snapshot was taken of another clusterer, of other shards or of other embeddings.
        """
        self._clusterer = clusterer
        self._shards = shards
        self._recent: Bounded[str, tuple[int, float, str | None]] = Bounded(REMEMBERED)
        self._duplicates = Duplicates(state.get("duplicates") if state else None)
        if state is not None:
            check_same(state, clusterer.name, shards)
            self._clusterer.restore(state["clusterer"])
            check_dimension(self._clusterer.dimension, dimension)
            # Version 1 knew no copies.
            for global_id, found in state["recent"].items():
                self._recent[global_id] = (*found, None)[:3]
        CLUSTERS.set(self._clusterer.count())

    def on_batch(self, values: list[Embedded]) -> tuple[list[Answer], bool]:
        """One side for each embedding, in order, then what became of clusters."""
        with step(STAGE, len(values)):
            sides = [self._side(embedded) for embedded in values]
        CLUSTERS.set(self._clusterer.count())
        return [*sides, *self._clusterer.events()], StatefulBatchLogic.RETAIN

    def snapshot(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "version": 3,
            "shards": self._shards,
            "clusterer": self._clusterer.state(),
            "recent": dict(self._recent),
            "duplicates": self._duplicates.state(),
        }

    def _side(self, embedded: Embedded) -> Side[Cluster]:
        start = perf_counter()
        value = self._cluster(embedded)
        return Side(embedded.side.global_id, STAGE, value, perf_counter() - start, self._clusterer.name)

    def _cluster(self, embedded: Embedded) -> Cluster | Failed | None:
        global_id, embedding = embedded.side.global_id, embedded.side.value
        if embedding is None or isinstance(embedding, Failed):
            return embedding
        if global_id in self._recent:
            return Cluster(*self._recent[global_id])
        try:
            found = self._clusterer.learn(embedding)
        except Exception as error:
            STEP_ERRORS.labels(STAGE).inc()
            return Failed.of(STAGE, error)
        if embedded.fingerprint is not None:
            found = replace(found, duplicate_of=self._duplicates.original(global_id, embedded.fingerprint))
        self._recent[global_id] = found.id, found.distance, found.duplicate_of
        return found
