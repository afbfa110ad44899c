"""What goes out: a record as a row of named columns, a dead letter as JSON or as headers."""

from base64 import b64encode
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from memewax.records import (
    CLUSTER_FAILED,
    NO_EMBEDDING,
    Cluster,
    DeadLetter,
    Failed,
    Reading,
    Record,
    Sentiment,
)

Row = dict[str, Any]
"""Column to value: what JSON has, and float32 arrays for the two embeddings."""

HEADER_PREFIX: Final = "memewax.dead-letter."


def row_of(record: Record) -> Row:
    """The record as a row: the twelve columns that the first version had, then what is known besides."""
    post, sides = record.post, record.sides
    known = {stage: None if isinstance(side.value, Failed) else side.value for stage, side in sides.items()}
    embedding = known.get("embedding")
    cluster: Cluster | None = known.get("cluster")
    reading: Reading | None = known.get("text")
    entities = known.get("entities")
    sentiment: Sentiment | None = known.get("sentiment")
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
        "text": reading.text if reading else None,
        "entities": None if entities is None else [_fields(entity) for entity in entities],
        "sentiments": _fields(sentiment) if sentiment else None,
        "ingestion_time": post.ingestion_time.isoformat() if post.ingestion_time else None,
        "joined_time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "cluster_distance": cluster.distance if cluster else None,
        "text_as_read": reading.as_read if reading else None,
        "lines": [_fields(line) for line in reading.lines] if reading else None,
        "text_embedding": known.get("text_embedding"),
        "missing": list(record.missing),
        "failures": [_fields(failure) for failure in failures_of(record)],
        "timings": {"fetch": record.fetch_seconds} | {stage: side.seconds for stage, side in sides.items()},
        "models": {stage: side.model for stage, side in sides.items() if side.model},
        "extra": dict(post.extra),
    }


def _fields(value: Any) -> Row:
    return {name: getattr(value, name) for name in value.__slots__}


def failures_of(record: Record) -> list[Failed]:
    """What failed, each failure once though several sides may pass it on, by stage."""
    failures = {side.value for side in record.sides.values() if isinstance(side.value, Failed)}
    return sorted(failures, key=lambda failure: failure.stage)


def json_of_row(row: Row) -> bytes:
    """One line of JSON, its end not included."""
    return orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY, default=str)


def dead_letters_of(record: Record) -> list[DeadLetter]:
    """A dead letter for each failure that a record brings, with the post's own message."""
    told = [side.value for stage, side in record.sides.items() if not record.late or stage in record.late]
    return [
        DeadLetter(record.post.message, failure.stage, failure.exception, failure.reason, record.post.global_id)
        for failure in failures_of(record)
        if failure in told
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
    told = asdict(letter) | {"origin": letter.message.origin}
    names = ("stage", "exception", "reason", "origin", "global_id")
    return letter.message.headers + tuple(
        (HEADER_PREFIX + name, str(told[name]).encode(errors="replace")) for name in names if told[name] is not None
    )
