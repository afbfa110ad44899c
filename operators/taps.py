"""Taps: writes the streams inside the flow to the first version's topics, in its formats, for existing readers.

If a stage has no result for a post, there is no message on its topics, and a reader's left outer join has a null there;
only for clusters, the first version itself wrote -1 and -2. Its bodies hold JSON inside a JSON string. It wrote only
entities with a high score; ours have no score, so all that the model found are written.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import numpy as np
import orjson
from bytewax import operators as op
from bytewax.dataflow import Stream, operator

from connectors.endpoints import DEAD_LETTERS_TO, POSTS_FROM, RECORDS_TO, endpoint
from connectors.kafka.kafka_endpoint import cluster_sink
from connectors.sinks.sink import OutMessage
from connectors.topics.declared import TAPS
from core.errors import SettingsError
from core.records import (
    CLUSTER_FAILED,
    NO_EMBEDDING,
    Arrival,
    Cluster,
    Entity,
    Failure,
    Post,
    Reading,
    Sentiment,
    StageResult,
    Vector,
)
from core.telemetry import STEP_ERRORS, log, step
from operators import steps
from operators.cluster_logic import STAGE as CLUSTER_STAGE
from operators.operator_settings import TapSettings

STEP: Final = "taps"

X = TypeVar("X")
Fields = dict[str, Any]


@operator
def write_taps(
    step_id: str, posts: Stream[Arrival], settings: TapSettings, **results: Stream[StageResult[Any]]
) -> None:
    """Write posts, and the results of stages by name, to their topics at `settings.taps`.

    A stage that the first version did not have is not tapped.
    """
    topics = chosen_taps(settings)
    sink = cluster_sink(settings.taps, topics, settings)

    def tapped(stream: Stream[X], name: str, fields: Callable[[X, str], Fields | None]) -> list[Stream[Any]]:
        """Return the messages of one stream for the chosen topics among its own."""
        ours = [topic for topic in topics if topic.startswith(f"{name}2")]
        if not ours:
            return []
        return [steps.map_batch(name, stream, lambda batch: messages(batch, fields, ours, sink.max_bytes, _utc))]

    streams = tapped(posts, "nifi", post_fields)
    for stage, (name, fields) in _TAPPED.items():
        streams += tapped(results[stage], name, fields)
    steps.write("sink", op.merge("all", *streams), sink)


def chosen_taps(settings: TapSettings) -> list[str]:
    """Return the names of the topics to write.

    Raises:
        SettingsError: if a name is unknown, or is a topic that the flow itself reads or writes.
    """
    names = [topic.name for topic in TAPS]
    unknown = sorted(set(settings.taps_only) - set(names))
    if unknown:
        raise SettingsError(f"there is no tap {', '.join(unknown)}; MEMEWAX_TAPS_ONLY accepts {', '.join(names)}")
    chosen = [name for name in names if not settings.taps_only or name in settings.taps_only]
    named = [(settings.dead_letters, DEAD_LETTERS_TO), *((address, POSTS_FROM) for address in settings.source)]
    named += [(address, RECORDS_TO) for address in settings.to]
    for it in (endpoint(address, role) for address, role in named if address):
        # Compare names only, since one cluster has many addresses: a flow that reads its own tap would never end.
        if it.topic in chosen:
            raise SettingsError(
                f"{it.address} is the flow's own, and a tap would write to it: list the others in MEMEWAX_TAPS_ONLY"
            )
    return chosen


def tap_addresses(settings: TapSettings) -> list[str]:
    """Return the addresses of the topics that taps write; raises `SettingsError` like `chosen_taps`."""
    return [f"{settings.taps.removesuffix('/')}/{topic}" for topic in chosen_taps(settings)] if settings.taps else []


def messages(
    batch: Sequence[X],
    fields: Callable[[X, str], Fields | None],
    topics: Sequence[str],
    max_bytes: int,
    now: Callable[[], datetime],
) -> list[tuple[str, OutMessage]]:
    """Make a message on each of `topics` for each item that has fields, keyed by post; too large ones are dropped."""
    with step(STEP, len(batch)):
        time = timestamp(now())
        made = []
        for item in batch:
            body = fields(item, time)
            if body is None:
                continue
            global_id = body["global_id"]
            value = orjson.dumps(body)
            message = OutMessage(global_id.encode(), value)
            if message.size > max_bytes:
                STEP_ERRORS.labels(STEP).inc()
                log.warning("too large to be tapped", global_id=global_id, bytes=len(value), topics=list(topics))
                continue
            made += [(global_id, OutMessage(message.key, value, topic=topic)) for topic in topics]
        return made


def timestamp(time: datetime) -> str:
    """Format a time as Spark does in JSON: UTC, to the millisecond, with a Z."""
    return f"{time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def post_fields(arrival: Arrival, time: str) -> Fields:
    """Return the fields of a post, as the first version's NiFi published them."""
    post: Post = arrival.post
    return {
        "global_id": post.global_id,
        "author": post.author,
        "created_time": post.created_time,
        "desc": post.description,
        "score": post.score,
        "url": post.url,
        "source": post.source,
        "ingestion_time": time if post.ingestion_time is None else timestamp(post.ingestion_time),
    }


def embedding_fields(result: StageResult[Vector], time: str) -> Fields | None:
    """Return `embeddings`: a list of numbers, as JSON in a string."""
    if result.value is None or isinstance(result.value, Failure):
        return None
    numbers = orjson.dumps(np.ascontiguousarray(result.value), option=orjson.OPT_SERIALIZE_NUMPY)
    return {"global_id": result.global_id, "embeddings": numbers.decode(), "timestamp": time}


def cluster_fields(result: StageResult[Cluster], time: str) -> Fields:
    """Return the field `cluster`: the cluster's id, -1 without an embedding, -2 if clustering failed."""
    value = result.value
    if isinstance(value, Cluster):
        cluster = int(value.id)
    else:
        failed = isinstance(value, Failure) and value.stage == CLUSTER_STAGE
        cluster = CLUSTER_FAILED if failed else NO_EMBEDDING
    return {"global_id": result.global_id, "cluster": cluster, "timestamp": time}


def text_fields(result: StageResult[Reading], time: str) -> Fields | None:
    """Return `text`: lower-cased lines, each ending in `. `."""
    value = result.value
    if not isinstance(value, Reading):
        return None
    return {"global_id": result.global_id, "text": value.text, "timestamp": time}


def entities_fields(result: StageResult[tuple[Entity, ...]], time: str) -> Fields | None:
    """Return `entities`: a list of objects, as JSON in a string."""
    if result.value is None or isinstance(result.value, Failure):
        return None
    found = orjson.dumps([asdict(entity) for entity in result.value])
    return {"global_id": result.global_id, "entities": found.decode(), "timestamp": time}


def sentiment_fields(result: StageResult[Sentiment], time: str) -> Fields | None:
    """Return `sentiments`: shares and compound score, as JSON in a string."""
    if result.value is None or isinstance(result.value, Failure):
        return None
    scores = orjson.dumps(asdict(result.value))
    return {"global_id": result.global_id, "sentiments": scores.decode(), "timestamp": time}


def _utc() -> datetime:
    return datetime.now(UTC)


_TAPPED: Final[dict[str, tuple[str, Callable[[StageResult[Any], str], Fields | None]]]] = {
    "embedding": ("vit", embedding_fields),
    "cluster": ("cluster", cluster_fields),
    "text": ("ocr", text_fields),
    "entities": ("ner", entities_fields),
    "sentiment": ("sentiment", sentiment_fields),
}
"""The first version's name of each stage that it had, and the fields of its messages."""
