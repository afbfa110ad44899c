"""What goes out: a record as a row of named columns, a dead letter as JSON or as headers."""

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
# A row is made for every post, so what the tables say is laid out once: the names in their order, and how each is made.
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
    """Make a row of the record: the twelve columns that the first version had, then what is known besides."""
    sides = record.sides
    known: Values = {stage: side.value for stage, side in sides.items()}
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
    post = record.post
    return [
        DeadLetter(post.message, failure.stage, failure.exception, failure.reason, post.global_id, post.trace)
        for failure in failures
    ]


def json_of_dead_letter(letter: DeadLetter, now: str | None = None) -> bytes:
    """One line of JSON, written `now`; bytes in base64, since they need not be text."""
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
            **({} if now is None else {"time": now}),
        }
    )


def headers_of_dead_letter(letter: DeadLetter, now: str | None = None) -> tuple[tuple[str, bytes | None], ...]:
    """The message's own headers, then what went wrong, under one prefix."""
    told = {
        "stage": letter.stage,
        "exception": letter.exception,
        "reason": letter.reason,
        "origin": letter.message.origin,
        "global_id": letter.global_id,
        "time": now,
    }
    return letter.message.headers + tuple(
        (HEADER_PREFIX + name, value.encode(errors="replace")) for name, value in told.items() if value is not None
    )
