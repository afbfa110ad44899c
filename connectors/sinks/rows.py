"""Serialisation of output: a record as a row of named columns, a dead letter as JSON or as Kafka headers."""

from base64 import b64encode
from dataclasses import replace
from typing import Any, Final

import numpy as np
import orjson

from connectors.sinks.record_table import (
    INGESTION_COLUMN,
    JOINED_COLUMN,
    POST_COLUMNS,
    failures_of,
    join_columns,
    record_table,
)
from connectors.sinks.sink import Row
from core.records import DeadLetter, Failure, Record
from models.stage import Values
from models.stages import STAGES

HEADER_PREFIX: Final = "memewax.dead-letter."
# A row is made for every post, so the order of columns and the functions that compute them are prepared once.
_EMPTY: Final[Row] = dict.fromkeys(column.name for column in record_table({}).columns)
_STAGES: Final = [
    (
        stage.name,
        [(it.column.name, it.of) for it in stage.columns],
        [(it.column.name, it.without) for it in stage.columns if it.without is not None],
    )
    for stage in STAGES
]
_OTHERS: Final = [(it.column.name, it.of) for it in (*POST_COLUMNS, INGESTION_COLUMN, *join_columns(STAGES))]


def row_of(record: Record, now: str) -> Row:
    """Return the record as a row: the twelve columns of version 1 first, then the others; `now` is an ISO time."""
    results = record.results
    known: Values = {stage: result.value for stage, result in results.items()}
    if Failure in map(type, known.values()):
        known = {stage: None if isinstance(value, Failure) else value for stage, value in known.items()}
    row = _EMPTY.copy()
    for stage, columns, without in _STAGES:
        value = known.get(stage)
        if value is None:
            for name, instead in without:
                row[name] = instead(known)
        else:
            for name, of in columns:
                row[name] = of(value)
    row[JOINED_COLUMN.name] = now
    for name, of in _OTHERS:
        row[name] = of(record)
    return row


def json_of_row(row: Row) -> bytes:
    """Encode a row as one line of JSON, without a newline."""
    return orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY, default=_listed)


def _listed(value: Any) -> Any:
    """Convert what orjson cannot encode: arrays that are not contiguous."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be encoded as JSON")


def dead_letters_of(record: Record) -> list[DeadLetter]:
    """Return a dead letter for each failure of a record, with the post's original message.

    A late record omits failures that the partial record before it has already reported.
    """
    failures = failures_of(record)
    if record.late:
        reported = failures_of(
            replace(record, results={it: record.results[it] for it in record.results.keys() - record.late})
        )
        failures = [failure for failure in failures if failure not in reported]
    post = record.post
    return [
        DeadLetter(post.message, failure.stage, failure.exception, failure.reason, post.global_id, post.trace)
        for failure in failures
    ]


def json_of_dead_letter(dead_letter: DeadLetter, now: str | None = None) -> bytes:
    """Encode a dead letter as one line of JSON; bytes in base64, since they may not be text."""
    message = dead_letter.message
    return orjson.dumps(
        {
            "stage": dead_letter.stage,
            "exception": dead_letter.exception,
            "reason": dead_letter.reason,
            "global_id": dead_letter.global_id,
            "origin": message.origin,
            "key": None if message.key is None else b64encode(message.key).decode(),
            "headers": [
                (name, None if value is None else b64encode(value).decode()) for name, value in message.headers
            ],
            "value": b64encode(message.value).decode(),
            **({} if now is None else {"time": now}),
        }
    )


def headers_of_dead_letter(dead_letter: DeadLetter, now: str | None = None) -> tuple[tuple[str, bytes | None], ...]:
    """Return the message's own headers, then those of the dead letter, prefixed by `HEADER_PREFIX`."""
    fields = {
        "stage": dead_letter.stage,
        "exception": dead_letter.exception,
        "reason": dead_letter.reason,
        "origin": dead_letter.message.origin,
        "global_id": dead_letter.global_id,
        "time": now,
    }
    return dead_letter.message.headers + tuple(
        (HEADER_PREFIX + name, value.encode(errors="replace")) for name, value in fields.items() if value is not None
    )
