"""What goes out: a record as a row of named columns, a dead letter as JSON or as headers."""

from base64 import b64encode
from dataclasses import astuple, replace
from typing import Any, Final

import numpy as np
import orjson

from connectors.sinks.sink import Row
from core.records import (
    CLUSTER_FAILED,
    NO_EMBEDDING,
    Cluster,
    DeadLetter,
    Entity,
    Failed,
    Line,
    Reading,
    Record,
    Sentiment,
)

HEADER_PREFIX: Final = "memewax.dead-letter."


def row_of(record: Record, now: str) -> Row:
    """The record as a row: the twelve columns that the first version had, then what is known besides."""
    post, sides = record.post, record.sides
    known = {stage: None if isinstance(side.value, Failed) else side.value for stage, side in sides.items()}
    embedding = known.get("embedding")
    cluster: Cluster | None = known.get("cluster")
    reading: Reading | None = known.get("text")
    entities: tuple[Entity, ...] | None = known.get("entities")
    sentiment: Sentiment | None = known.get("sentiment")
    timings = {stage: side.seconds for stage, side in sides.items()}
    timings["fetch"] = record.fetch_seconds
    return {
        "global_id": post.global_id,
        "author": post.author,
        "created_time": post.created_time,
        "description": post.description,
        "score": post.score,
        "url": post.url,
        "source": post.source,
        "embeddings": embedding,
        "cluster": cluster.id if cluster else NO_EMBEDDING if embedding is None else CLUSTER_FAILED,
        "text": None if reading is None else reading.text,
        "entities": None if entities is None else [_entity(entity) for entity in entities],
        "sentiments": None if sentiment is None else _sentiment(sentiment),
        "ingestion_time": None if post.ingestion_time is None else post.ingestion_time.isoformat(),
        "joined_time": now,
        "cluster_distance": None if cluster is None else cluster.distance,
        "text_as_read": None if reading is None else reading.as_read,
        "lines": None if reading is None else [_line(line) for line in reading.lines],
        "text_embedding": known.get("text_embedding"),
        "missing": list(record.missing),
        "failures": [_failure(failure) for failure in failures_of(record)],
        "timings": timings,
        "models": {stage: side.model for stage, side in sides.items() if side.model},
        "extra": dict(post.extra),
        "duplicate_of": None if cluster is None else cluster.duplicate_of,
    }


def _entity(entity: Entity) -> Row:
    return {"text": entity.text, "label": entity.label, "start": entity.start, "end": entity.end}


def _sentiment(it: Sentiment) -> Row:
    return {"negative": it.negative, "neutral": it.neutral, "positive": it.positive, "compound": it.compound}


def _line(line: Line) -> Row:
    return {"text": line.text, "confidence": line.confidence, "box": line.box}


def _failure(failure: Failed) -> Row:
    return {"stage": failure.stage, "exception": failure.exception, "reason": failure.reason}


def failures_of(record: Record) -> list[Failed]:
    """What failed, each failure once though several sides may pass it on, by stage."""
    failures = [side.value for side in record.sides.values() if isinstance(side.value, Failed)]
    return sorted(set(failures), key=astuple) if failures else []


def json_of_row(row: Row) -> bytes:
    """One line of JSON, its end not included."""
    return orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY, default=_listed)


def _listed(value: Any) -> Any:
    """What orjson cannot write by itself: arrays that do not lie in one piece."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is nothing for JSON")


def dead_letters_of(record: Record) -> list[DeadLetter]:
    """A dead letter for each failure that a record brings, with the post's own message.

    What a partial record has told already, the late record that replaces it does not tell again.
    """
    failures = failures_of(record)
    if record.late:
        told = failures_of(replace(record, sides={it: record.sides[it] for it in record.sides.keys() - record.late}))
        failures = [failure for failure in failures if failure not in told]
    return [
        DeadLetter(record.post.message, failure.stage, failure.exception, failure.reason, record.post.global_id)
        for failure in failures
    ]


def json_of_dead_letter(letter: DeadLetter) -> bytes:
    """One line of JSON; bytes in base64, since they need not be text."""
    message = letter.message
    return orjson.dumps(
        {
            "stage": letter.stage,
            "exception": letter.exception,
            "reason": letter.reason,
            "global_id": letter.global_id,
            "origin": message.origin,
            "key": None if message.key is None else b64encode(message.key).decode(),
            "headers": [
                (name, None if value is None else b64encode(value).decode()) for name, value in message.headers
            ],
            "value": b64encode(message.value).decode(),
        }
    )


def headers_of_dead_letter(letter: DeadLetter) -> tuple[tuple[str, bytes | None], ...]:
    """The message's own headers, then what went wrong, under one prefix."""
    told = {
        "stage": letter.stage,
        "exception": letter.exception,
        "reason": letter.reason,
        "origin": letter.message.origin,
        "global_id": letter.global_id,
    }
    return letter.message.headers + tuple(
        (HEADER_PREFIX + name, value.encode(errors="replace")) for name, value in told.items() if value is not None
    )
