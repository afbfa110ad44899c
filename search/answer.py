"""Answers: what was found for a query, or why nothing could be."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from core.columns import Column, Integer, ListOf, Number, Struct, Table, Text, Type
from core.records import Failure, Vector
from search.corpus import Hit

_COUNT: Final = re.compile("[0-9]{1,18}")
"""What fits 64 bits; other digits of Unicode are none here."""
_TEXT, _NUMBER = Text(), Number()
_HIT: Final[dict[str, Type]] = {
    "id": _TEXT,
    "text": _TEXT,
    "similarity": _NUMBER,
    "distance": _NUMBER,
    "metadata": _TEXT,
}
ANSWERS: Final = Table(
    "answers",
    "id",
    (
        Column("id", _TEXT, "Of the query."),
        Column("text", _TEXT, "What was asked; empty where it was not a text."),
        Column("corpus", _TEXT, "Where was looked."),
        Column("k", Integer(32), "How many of the nearest were asked for."),
        Column("model", _TEXT, "That made the query's vector; empty where the query brought it."),
        Column("hits", ListOf(Struct(_HIT)), "The nearest first."),
        Column("error", Struct({"stage": _TEXT, "exception": _TEXT, "reason": _TEXT}), "Why there is no answer."),
        Column("timing", Struct({"embed": _NUMBER, "search": _NUMBER}), "Seconds by stage."),
        Column("answered_time", _TEXT, "When it was answered."),
    ),
)
"""The table of answers in a store."""
RESULTS: Final = Table(
    "results",
    "id",
    (
        Column("id", _TEXT, "Of the query."),
        Column("user_text", _TEXT, "What was asked."),
        Column("trump_tweet", _TEXT, "The nearest text."),
        Column("favorite_count", Integer(), "Its favourites."),
        Column("retweet_count", Integer(), "Its retweets."),
        Column("created_at", _TEXT, "When it was written."),
        Column("similarity", _NUMBER, "Its cosine with what was asked."),
    ),
)
"""The table of answers as the first version wrote it: its six columns, and the id that its look-up by text lacked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one query."""

    id: str
    text: str = ""
    """What was asked; empty where it was not a text."""
    corpus: str = ""
    k: int = 0
    model: str = ""
    """That made the query's vector; empty where the query brought it."""
    hits: tuple[Hit, ...] = ()
    """At most `k`, nearest first."""
    error: Failure | None = None
    timing: Mapping[str, float] = field(default_factory=dict)
    """Seconds by stage; those of the batch that the query was in."""
    trace: str = ""
    """Of the query."""


def json_of_answer(answer: Answer) -> bytes:
    """One line of JSON; `error` only where there is one."""
    return orjson.dumps(answer_body(answer))


def answer_body(answer: Answer) -> dict[str, Any]:
    """Return the fields of an answer's JSON body; `error` is there only for a query that failed."""
    body: dict[str, Any] = {"id": answer.id, "corpus": answer.corpus, "model": answer.model}
    body["hits"] = [asdict(hit) for hit in answer.hits]
    body["timing"] = dict(answer.timing)
    if answer.error is not None:
        body["error"] = {"stage": answer.error.stage, "reason": answer.error.reason}
    return body


def json_of_sentence_embedding(text: str, vector: Vector) -> bytes:
    """A body of the first version's second topic."""
    body = {"sentence_to_encode": text, "sentence_embedding": vector}
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def answer_row(answer: Answer) -> dict[str, Any]:
    """A row of the table of answers."""
    error = answer.error
    return {
        "id": answer.id,
        "text": answer.text,
        "corpus": answer.corpus,
        "k": answer.k,
        "model": answer.model,
        "hits": [_hit_row(hit) for hit in answer.hits],
        "error": error and {"stage": error.stage, "exception": error.exception, "reason": error.reason},
        "timing": {name: answer.timing.get(name) for name in ("embed", "search")},
        "answered_time": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }


def _hit_row(hit: Hit) -> dict[str, Any]:
    return {
        "id": hit.id,
        "text": hit.text,
        "similarity": hit.similarity,
        "distance": hit.distance,
        "metadata": orjson.dumps(hit.metadata).decode(),
    }


def result_row(answer: Answer) -> dict[str, Any]:
    """A row as the first version wrote it; empty but for the question where there is no hit."""
    row: dict[str, Any] = dict.fromkeys(column.name for column in RESULTS.columns)
    row |= {"id": answer.id, "user_text": answer.text}
    if answer.hits:
        hit = answer.hits[0]
        brought = hit.metadata
        row |= {
            "trump_tweet": hit.text,
            "favorite_count": count_of(brought, "favorite"),
            "retweet_count": count_of(brought, "retweet"),
            "created_at": _text_of(brought.get("created")),
            "similarity": hit.similarity,
        }
    return row


def count_of(metadata: Mapping[str, Any], kind: str) -> int | None:
    """How many favourites or retweets a hit has, by either of the names that archives of tweets use."""
    for name in (f"{kind}_count", f"{kind}s"):
        value = metadata.get(name)
        if isinstance(value, int | str) and not isinstance(value, bool) and _COUNT.fullmatch(str(value)):
            return int(value)
    return None


def _text_of(value: Any) -> str | None:
    """A column of texts takes nothing else, whatever a row brought."""
    return None if value is None else value if isinstance(value, str) else orjson.dumps(value).decode()
