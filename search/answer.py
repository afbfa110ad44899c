"""Answers to queries: hits or an error, and their serialised forms."""

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
"""ASCII digits that fit 64 bits; other Unicode digits are not accepted."""
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
        Column("id", _TEXT, "Id of the query."),
        Column("text", _TEXT, "Text of the query; empty for a query by image or vector."),
        Column("corpus", _TEXT, "Corpus that was searched."),
        Column("k", Integer(32), "Number of hits asked for."),
        Column("model", _TEXT, "Model that embedded the query; empty if the query brought its vector."),
        Column("hits", ListOf(Struct(_HIT)), "Hits, nearest first."),
        Column("error", Struct({"stage": _TEXT, "exception": _TEXT, "reason": _TEXT}), "Why the query failed."),
        Column("timing", Struct({"embed": _NUMBER, "search": _NUMBER}), "Seconds by stage."),
        Column("answered_time", _TEXT, "Time of the answer."),
    ),
)
"""The table of answers in a store."""
RESULTS: Final = Table(
    "results",
    "id",
    (
        Column("id", _TEXT, "Id of the query."),
        Column("user_text", _TEXT, "Text of the query."),
        Column("trump_tweet", _TEXT, "Nearest text."),
        Column("favorite_count", Integer(), "Favourites of that text."),
        Column("retweet_count", Integer(), "Retweets of that text."),
        Column("created_at", _TEXT, "Time of that text."),
        Column("similarity", _NUMBER, "Cosine of that text and the query."),
    ),
)
"""The table of answers of the first version: its six columns, and an id, which the first version lacked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one query."""

    id: str
    text: str = ""
    """Text of the query; empty for a query by image or vector."""
    corpus: str = ""
    k: int = 0
    model: str = ""
    """Model that embedded the query; empty if the query brought its vector."""
    hits: tuple[Hit, ...] = ()
    """At most `k`, nearest first."""
    error: Failure | None = None
    timing: Mapping[str, float] = field(default_factory=dict)
    """Seconds by stage, measured for the whole batch of the query."""
    trace: str = ""
    """W3C trace context of the query."""


def json_of_answer(answer: Answer) -> bytes:
    """Serialise an answer as one line of JSON."""
    return orjson.dumps(answer_body(answer))


def answer_body(answer: Answer) -> dict[str, Any]:
    """Return the fields of an answer's JSON body; `error` is left out if there is none."""
    body: dict[str, Any] = {"id": answer.id, "corpus": answer.corpus, "model": answer.model}
    body["hits"] = [asdict(hit) for hit in answer.hits]
    body["timing"] = dict(answer.timing)
    if answer.error is not None:
        body["error"] = {"stage": answer.error.stage, "reason": answer.error.reason}
    return body


def json_of_sentence_embedding(text: str, vector: Vector) -> bytes:
    """Serialise a text and its embedding as a message of the first version's second topic."""
    body = {"sentence_to_encode": text, "sentence_embedding": vector}
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def answer_row(answer: Answer) -> dict[str, Any]:
    """Make a row of the table of answers."""
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
    """Make a row of the first version's table of answers; without a hit, only id and text are set."""
    row: dict[str, Any] = dict.fromkeys(column.name for column in RESULTS.columns)
    row |= {"id": answer.id, "user_text": answer.text}
    if answer.hits:
        hit = answer.hits[0]
        metadata = hit.metadata
        row |= {
            "trump_tweet": hit.text,
            "favorite_count": count_of(metadata, "favorite"),
            "retweet_count": count_of(metadata, "retweet"),
            "created_at": _text_of(metadata.get("created")),
            "similarity": hit.similarity,
        }
    return row


def count_of(metadata: Mapping[str, Any], kind: str) -> int | None:
    """Read the number of favourites or retweets of a hit, under either name that tweet archives use.

    Args:
        metadata: Metadata of the hit.
        kind: `favorite` or `retweet`.

    Returns:
        The count, or None if it is missing or is not an integer.
    """
    for name in (f"{kind}_count", f"{kind}s"):
        value = metadata.get(name)
        if isinstance(value, int | str) and not isinstance(value, bool) and _COUNT.fullmatch(str(value)):
            return int(value)
    return None


def _text_of(value: Any) -> str | None:
    """Convert a value of any type to text, since the column takes nothing else."""
    return None if value is None else value if isinstance(value, str) else orjson.dumps(value).decode()
