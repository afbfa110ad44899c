"""Taps: the streams inside the flow on the topics of the first version, in its bodies, for readers written for it.

Where a stage has no result for a post there is no message on its topics either, and a reader's left outer join has a
null there; of clusters alone the first version said so itself, by -1 and -2. Its bodies hold JSON inside a JSON string,
and entities only that it was sure of: ours come without a score, so all are there that the model decided on.
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
def write_taps(step_id: str, posts: Stream[Arrival], settings: TapSettings, **sides: Stream[StageResult[Any]]) -> None:
    """Write posts, and the sides of stages by their names, to their topics at `settings.taps`.

    A stage that the first version did not have is not tapped.
    """
    topics = chosen_taps(settings)
    sink = cluster_sink(settings.taps, topics, settings)

    def tapped(stream: Stream[X], name: str, fields: Callable[[X, str], Fields | None]) -> list[Stream[Any]]:
        """The messages of one stream, for those of its topics that are chosen."""
        ours = [topic for topic in topics if topic.startswith(f"{name}2")]
        if not ours:
            return []
        return [steps.map_batch(name, stream, lambda batch: messages(batch, fields, ours, sink.max_bytes, _utc))]

    streams = tapped(posts, "nifi", post_fields)
    for stage, (name, fields) in _TAPPED.items():
        streams += tapped(sides[stage], name, fields)
    steps.write("sink", op.merge("all", *streams), sink)


def chosen_taps(settings: TapSettings) -> list[str]:
    """Names of the topics to write; raises `SettingsError` where one is none, or is a topic of the flow's own."""
    names = [topic.name for topic in TAPS]
    unknown = sorted(set(settings.taps_only) - set(names))
    if unknown:
        raise SettingsError(f"there is no tap {', '.join(unknown)}; MEMEWAX_TAPS_ONLY knows {', '.join(names)}")
    chosen = [name for name in names if not settings.taps_only or name in settings.taps_only]
    named = [(settings.dead_letters, DEAD_LETTERS_TO), *((address, POSTS_FROM) for address in settings.source)]
    named += [(address, RECORDS_TO) for address in settings.to]
    for it in (endpoint(address, role) for address, role in named if address):
        # By name alone, since one cluster has many addresses: a flow that reads its own tap would never end.
        if it.topic in chosen:
            raise SettingsError(
                f"{it.address} is the flow's own, and a tap would write to it: name those you need in MEMEWAX_TAPS_ONLY"
            )
    return chosen


def tap_addresses(settings: TapSettings) -> list[str]:
    """The topics that taps write, each with its cluster; raises `SettingsError` as `chosen_taps` does."""
    return [f"{settings.taps.removesuffix('/')}/{topic}" for topic in chosen_taps(settings)] if settings.taps else []


def messages(
    batch: Sequence[X],
    fields: Callable[[X, str], Fields | None],
    topics: Sequence[str],
    max_bytes: int,
    now: Callable[[], datetime],
) -> list[tuple[str, OutMessage]]:
    """A message for each item that has fields, on each of `topics`, keyed by its id; too large ones are left out."""
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
    """As Spark writes it in JSON: UTC, to the millisecond, with a Z."""
    return f"{time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


def post_fields(arrival: Arrival, time: str) -> Fields:
    """A post as the first version's NiFi published it."""
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


def embedding_fields(side: StageResult[Vector], time: str) -> Fields | None:
    """`embeddings`: a list of numbers, as JSON in a string."""
    if side.value is None or isinstance(side.value, Failure):
        return None
    numbers = orjson.dumps(np.ascontiguousarray(side.value), option=orjson.OPT_SERIALIZE_NUMPY)
    return {"global_id": side.global_id, "embeddings": numbers.decode(), "timestamp": time}


def cluster_fields(side: StageResult[Cluster], time: str) -> Fields:
    """`cluster`: its id, -1 without an embedding, -2 where clustering failed."""
    value = side.value
    if isinstance(value, Cluster):
        cluster = int(value.id)
    else:
        failed = isinstance(value, Failure) and value.stage == CLUSTER_STAGE
        cluster = CLUSTER_FAILED if failed else NO_EMBEDDING
    return {"global_id": side.global_id, "cluster": cluster, "timestamp": time}


def text_fields(side: StageResult[Reading], time: str) -> Fields | None:
    """`text`: lower-cased lines, each ending in `. `."""
    value = side.value
    if not isinstance(value, Reading):
        return None
    return {"global_id": side.global_id, "text": value.text, "timestamp": time}


def entities_fields(side: StageResult[tuple[Entity, ...]], time: str) -> Fields | None:
    """`entities`: a list of objects, as JSON in a string."""
    if side.value is None or isinstance(side.value, Failure):
        return None
    found = orjson.dumps([asdict(entity) for entity in side.value])
    return {"global_id": side.global_id, "entities": found.decode(), "timestamp": time}


def sentiment_fields(side: StageResult[Sentiment], time: str) -> Fields | None:
    """`sentiments`: shares and compound score, as JSON in a string."""
    if side.value is None or isinstance(side.value, Failure):
        return None
    scores = orjson.dumps(asdict(side.value))
    return {"global_id": side.global_id, "sentiments": scores.decode(), "timestamp": time}


def _utc() -> datetime:
    return datetime.now(UTC)


_TAPPED: Final[dict[str, tuple[str, Callable[[StageResult[Any], str], Fields | None]]]] = {
    "embedding": ("vit", embedding_fields),
    "cluster": ("cluster", cluster_fields),
    "text": ("ocr", text_fields),
    "entities": ("ner", entities_fields),
    "sentiment": ("sentiment", sentiment_fields),
}
"""The first version's name of each stage that it had, and its messages."""
