"""The clustering step: one clusterer in the order of arrival, or several shards with a merger."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from bytewax import operators as op
from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream

from core.partitions import part_of
from core.records import Cluster, ClusterEvent, Removal, StageResult, Vector
from core.telemetry import CLUSTER_EVENTS
from models.clusterer import Clusterer
from models.clusterers.choice import make_shard, make_shard_merger
from models.model_settings import ClusterSettings
from operators.cluster_logic import STAGE, ClusterAnswer, ClusterLogic, ToLearn
from operators.shard_logic import OfShard, ShardLogic, ShardMergerLogic, ShardUpdate
from operators.steps import map_batch, stateful

_KEY: Final = "all"


@dataclass(frozen=True, slots=True)
class Clustered:
    """The outputs of the clustering step."""

    results: Stream[StageResult[Cluster]]
    events: Stream[ClusterEvent]
    """Changes of clusters, in order."""


@operator
def cluster(
    step_id: str,
    embeddings: Stream[StageResult[Vector]],
    removals: Stream[Removal],
    settings: ClusterSettings,
    make_clusterer: Callable[[], Clusterer],
    dimension: int | None = None,
    above: int = -1,
) -> Clustered:
    """Assign each embedding to a cluster; failures are passed on, and removals are forgotten.

    Args:
        step_id: Name of the step.
        embeddings: The embeddings.
        removals: Deletes.
        settings: Settings of the clusterer.
        make_clusterer: Factory of clusterers, used without shards.
        dimension: Dimension of the embeddings, if known.
        above: New cluster ids are higher than this.

    Raises:
        SettingsError: if shards are set but not possible.
    """
    if settings.cluster_shards == 1 or settings.models == "fake":
        answers = _in_one_place(embeddings, removals, settings, make_clusterer, dimension, above)
    else:
        answers = _in_shards(embeddings, removals, settings, dimension, above)
    return Clustered(
        map_batch("sides", answers, lambda batch: [it for _, it in batch if isinstance(it, StageResult)]),
        map_batch("events", answers, events_in),
    )


def events_in(batch: list[tuple[str, ClusterAnswer]]) -> list[ClusterEvent]:
    """Return the changes of clusters; they are counted here, once for all shards."""
    events = [it for _, it in batch if isinstance(it, ClusterEvent)]
    for event in events:
        CLUSTER_EVENTS.labels(event.kind).inc()
    return events


def _in_one_place(
    embeddings: Stream[StageResult[Vector]],
    removals: Stream[Removal],
    settings: ClusterSettings,
    make_clusterer: Callable[[], Clusterer],
    dimension: int | None,
    above: int,
) -> KeyedStream[ClusterAnswer]:
    gone: KeyedStream[ToLearn] = map_batch("key_removal", removals, lambda batch: [(_KEY, it) for it in batch])
    keyed: KeyedStream[ToLearn] = map_batch("key", embeddings, lambda batch: [(_KEY, it) for it in batch])

    def learning(state: dict[str, Any] | None) -> ClusterLogic:
        clusterer = make_clusterer()
        logic = ClusterLogic(
            clusterer,
            state,
            dimension=dimension,
            log_folder=settings.cluster_log,
            memory_days=settings.forget_memory_days,
        )
        clusterer.reserve_ids_to(above)  # also after a restore: another run may have written the store meanwhile
        return logic

    return stateful("learn", op.merge("all", keyed, gone), learning, measured=STAGE)


def _in_shards(
    embeddings: Stream[StageResult[Vector]],
    removals: Stream[Removal],
    settings: ClusterSettings,
    dimension: int | None,
    above: int,
) -> KeyedStream[ClusterAnswer]:
    shards = settings.cluster_shards
    make_shard_merger(settings)  # fail early if the settings are invalid

    def keyed(batch: list[StageResult[Vector]]) -> list[tuple[str, OfShard]]:
        numbered = [(part_of(it.global_id, shards), it) for it in batch]
        return [(str(item[0]), item) for item in numbered]

    def to_all_shards(batch: list[Removal]) -> list[tuple[str, OfShard]]:
        return [(str(shard), (shard, it)) for it in batch for shard in range(shards)]

    updates: KeyedStream[ShardUpdate] = stateful(
        "learn",  # the same id as without shards, so that a recovery folder with another number of shards is noticed
        op.merge(
            "all_shards",
            map_batch("key_shard", embeddings, keyed),
            map_batch("key_shard_removal", removals, to_all_shards),
        ),
        lambda state: ShardLogic(
            make_shard(settings), shards, state, dimension, settings.cluster_log, settings.forget_memory_days
        ),
        measured=STAGE,
    )
    together: KeyedStream[ShardUpdate | Removal] = op.merge(
        "all",
        map_batch("key_all", updates, lambda batch: [(_KEY, it) for _, it in batch]),
        map_batch("key_removal", removals, lambda batch: [(_KEY, it) for it in batch]),
    )

    def agreeing(state: dict[str, Any] | None) -> ShardMergerLogic:
        merger = make_shard_merger(settings)
        logic = ShardMergerLogic(merger, state, settings.cluster_log)
        merger.reserve_ids_to(above)
        return logic

    return stateful("agree", together, agreeing, measured=STAGE)
