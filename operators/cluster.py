"""Clustering as a stateful step: one key, one clusterer, in the order of arrival, recovered with the flow."""

from collections.abc import Callable
from itertools import islice
from time import perf_counter
from typing import Any, Final

from bytewax import operators as op
from bytewax.dataflow import Stream
from bytewax.operators import KeyedStream, StatefulBatchLogic

from memewax.errors import SettingsError
from memewax.records import Cluster, Failed, Side, Vector
from memewax.telemetry import CLUSTERS, STEP_ERRORS, step
from models.clusterer import Clusterer

STAGE: Final = Clusterer.stage
_KEY: Final = "all"
_REMEMBERED: Final = 4096


def cluster(
    step_id: str, embedded: Stream[Side[Vector]], make_clusterer: Callable[[], Clusterer]
) -> Stream[Side[Cluster]]:
    """Say for each embedding which cluster it falls into; a failed embedding's failure is passed on."""
    keyed = op.key_on(f"{step_id}_key", embedded, lambda _: _KEY)
    clustered: KeyedStream[Side[Cluster]] = op.stateful_batch(
        step_id, keyed, lambda state: ClusterLogic(make_clusterer(), state)
    )
    return op.map(f"{step_id}_sides", clustered, lambda item: item[1])


class ClusterLogic(StatefulBatchLogic[Side[Vector], Side[Cluster], dict[str, Any]]):
    """A clusterer, and the ids it saw last: a post that comes again keeps its cluster and is not learned again."""

    def __init__(self, clusterer: Clusterer, state: dict[str, Any] | None = None) -> None:
        self._clusterer = clusterer
        self._recent: dict[str, tuple[int, float]] = {}
        if state is not None:
            made_with = state["clusterer"]["algorithm"]
            if made_with != clusterer.name:
                raise SettingsError(
                    f"the recovery folder holds clusters of {made_with}, not of {clusterer.name}: "
                    f"set MEMEWAX_CLUSTERER={made_with} to go on with them, or begin anew with an empty recovery folder"
                )
            self._clusterer.restore(state["clusterer"])
            self._recent = dict(state["recent"])
        CLUSTERS.set(self._clusterer.count())

    def on_batch(self, values: list[Side[Vector]]) -> tuple[list[Side[Cluster]], bool]:
        """One side for each embedding, in order."""
        with step(STAGE, len(values)):
            sides = [self._side(embedded) for embedded in values]
        CLUSTERS.set(self._clusterer.count())
        return sides, StatefulBatchLogic.RETAIN

    def snapshot(self) -> dict[str, Any]:
        """Plain values."""
        return {"version": 1, "clusterer": self._clusterer.state(), "recent": dict(self._recent)}

    def _side(self, embedded: Side[Vector]) -> Side[Cluster]:
        start = perf_counter()
        value = self._cluster(embedded.global_id, embedded.value)
        return Side(embedded.global_id, STAGE, value, perf_counter() - start, self._clusterer.name)

    def _cluster(self, global_id: str, embedding: Vector | Failed | None) -> Cluster | Failed | None:
        if embedding is None or isinstance(embedding, Failed):
            return embedding
        if global_id in self._recent:
            return Cluster(*self._recent[global_id])
        try:
            found = self._clusterer.learn(embedding)
        except Exception as error:
            STEP_ERRORS.labels(STAGE).inc()
            return Failed.of(STAGE, error)
        self._recent[global_id] = found.id, found.distance
        if len(self._recent) > _REMEMBERED:
            del self._recent[next(islice(self._recent, 1))]
        return found
