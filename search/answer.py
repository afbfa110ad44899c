"""Answers: what was found for a query, or why nothing could be."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import pyarrow as pa

from core.records import Failed, Vector
from search.corpus import Hit

ANSWERS: Final = "answers"
RESULTS: Final = "results"
"""Tables of a store: answers as they are, and as the first version wrote them."""

_text, _number = pa.string(), pa.float64()
_HIT: Final = {"id": _text, "text": _text, "similarity": _number, "distance": _number, "metadata": _text}
ANSWERS_SCHEMA: Final = pa.schema(
    {
        "id": _text,
        "text": _text,
        "corpus": _text,
        "k": pa.int32(),
        "model": _text,
        "hits": pa.list_(pa.struct(_HIT)),
        "error": pa.struct({"stage": _text, "exception": _text, "reason": _text}),
        "timing": pa.struct({"embed": _number, "search": _number}),
        "answered_time": _text,
    }
)
RESULTS_SCHEMA: Final = pa.schema(
    {
        "id": _text,
        "user_text": _text,
        "trump_tweet": _text,
        "favorite_count": pa.int64(),
        "retweet_count": pa.int64(),
        "created_at": _text,
        "similarity": _number,
    }
)
"""The first version's six columns, and the id that its look-up by text lacked."""


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
    error: Failed | None = None
    timing: Mapping[str, float] = field(default_factory=dict)
    """Seconds by stage; those of the batch that the query was in."""


def json_of_answer(answer: Answer) -> bytes:
    """One line of JSON; `error` only where there is one."""
    body: dict[str, Any] = {"id": answer.id, "corpus": answer.corpus, "model": answer.model}
    body["hits"] = answer.hits
    body["timing"] = dict(answer.timing)
    if answer.error is not None:
        body["error"] = {"stage": answer.error.stage, "reason": answer.error.reason}
    return orjson.dumps(body)


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
    row = dict.fromkeys(RESULTS_SCHEMA.names)
    row |= {"id": answer.id, "user_text": answer.text}
    if answer.hits:
        hit = answer.hits[0]
        brought = hit.metadata
        row |= {
            "trump_tweet": hit.text,
            "favorite_count": count_of(brought, "favorite"),
            "retweet_count": count_of(brought, "retweet"),
            "created_at": brought.get("created"),
            "similarity": hit.similarity,
        }
    return row


def count_of(metadata: Mapping[str, Any], kind: str) -> int | None:
    """How many favourites or retweets a hit has, by either of the names that archives of tweets use."""
    for name in (f"{kind}_count", f"{kind}s"):
        value = metadata.get(name)
        if isinstance(value, int | str) and str(value).isdigit():
            return int(value)
    return None
