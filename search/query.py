"""Queries, and the parsing and validation of messages to queries."""

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import numpy as np

from connectors.sources.parse import MAX_ID_BYTES, json_object
from core.errors import BadRecordError
from core.records import Message, Vector
from core.times import time_or_none
from search.corpus_layout import POSTS
from search.row_cache import Filter

MOST_HITS: Final = 100
"""Largest k: a hundred hits fit a message; more are a case for an export."""

_LONGEST_NAME: Final = 100
"""Characters; bounds what an answer repeats of its query."""
By = Literal["text", "image"]
"""Which vectors of a corpus are searched; only posts have image embeddings."""

_SUBJECTS: Final = ("text", "image", "vector")
_FIELDS: Final = frozenset({"id", "k", "corpus", "filters", "by", *_SUBJECTS})
_FILTERS: Final = frozenset({"source", "after", "before", "language"})


class BadQueryError(BadRecordError):
    """An invalid query; it has an id, since it is answered with this error."""

    def __init__(self, reason: str, id_: str) -> None:
        super().__init__(reason)
        self.id = id_


@dataclass(frozen=True, slots=True)
class Query:
    """A valid query."""

    id: str
    """Chosen by the client; repeated in the answer."""
    subject: str | bytes | Vector
    """A text, the bytes of an image, or a vector of any length but 0."""
    corpus: str
    k: int = 1
    by: By = "text"
    filter: Filter | None = None
    trace: str = ""
    """W3C trace context; empty if tracing is off."""

    @property
    def text(self) -> str:
        """Return the text of the query, or an empty string for an image or a vector."""
        return self.subject if isinstance(self.subject, str) else ""


def parse_query(message: Message, corpus: str) -> Query:
    """Parse a message to a query.

    Args:
        message: The message.
        corpus: Default corpus, for queries that name none.

    Raises:
        BadQueryError: The query is not valid.
    """
    id_ = _origin_id(message)
    try:
        body = json_object(message.value, "query")
        id_ = _shown_id(body.get("id")) or id_
        return query_of(body, corpus)
    except BadQueryError:
        raise
    except BadRecordError as error:
        raise BadQueryError(str(error), id_) from None


def parse_first_version(message: Message, corpus: str) -> Query:
    """Parse a message of the first version, `{"sentence_to_encode": …}`; the message's key or origin is the id.

    Raises:
        BadQueryError: The query is not valid.
    """
    id_ = _origin_id(message)
    try:
        text = json_object(message.value, "query").get("sentence_to_encode")
        return Query(id_, _text(text, "sentence_to_encode"), corpus)
    except BadRecordError as error:
        raise BadQueryError(str(error), id_) from None


def _origin_id(message: Message) -> str:
    """Return an id for a query without one: the message's key, or else its origin."""
    try:
        key = (message.key or b"").decode()
    except UnicodeDecodeError:
        key = ""
    return key if 0 < len(key.encode()) <= MAX_ID_BYTES else message.origin


def _shown_id(value: Any) -> str:
    """Return the id to answer an invalid query with, empty if it has none that fits."""
    shown = value if isinstance(value, str) else str(value) if isinstance(value, int | float) else ""
    return shown if len(shown.encode()) <= MAX_ID_BYTES else ""


def query_of(body: Mapping[str, Any], corpus: str) -> Query:
    """Make a query from the fields of its JSON body.

    Args:
        body: `id`, one of `text`, `image` (base64, or bytes in this process) and `vector`, and optionally `k`,
            `corpus`, `by` and `filters`.
        corpus: The corpus to search where `body` names none.

    Raises:
        BadRecordError: saying which field is wrong.
    """
    _only(body, _FIELDS, "field")
    id_ = body.get("id")
    if id_ is None or id_ == "":
        raise BadRecordError("id is missing")
    if not isinstance(id_, str):
        raise BadRecordError("id must be a string")
    if len(id_.encode()) > MAX_ID_BYTES:
        raise BadRecordError(f"id is longer than {MAX_ID_BYTES} bytes")
    given = [name for name in _SUBJECTS if body.get(name) is not None]
    if len(given) != 1:
        raise BadRecordError(f"give exactly one of text, image and vector; found {' and '.join(given) or 'none'}")
    (name,) = given
    by = _by(body.get("by"), name)
    return Query(
        id=id_,
        subject=_subject(body[name], name),
        corpus=_name(body.get("corpus"), POSTS if by == "image" else corpus),
        k=_count(body.get("k")),
        by=by,
        filter=_filter(body.get("filters")),
    )


def _only(body: Mapping[str, Any], known: frozenset[str], kind: str) -> None:
    unknown = sorted(body.keys() - known)
    if unknown:
        raise BadRecordError(f"unknown {kind} {unknown[0][:40]!r}; expected {', '.join(sorted(known))}")


def _subject(value: Any, name: str) -> str | bytes | Vector:
    if name == "text":
        return _text(value, name)
    return _image(value, name) if name == "image" else _vector(value, name)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise BadRecordError(f"{name} must be a string")
    if not value.strip():
        raise BadRecordError(f"{name} is empty: there is nothing to search for")
    return value


def _image(value: Any, name: str) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return b64decode(value, validate=True)
    except (Base64Error, ValueError, TypeError):
        raise BadRecordError(f"{name} must be an image's bytes in base64") from None


def _vector(value: Any, name: str) -> Vector:
    if not isinstance(value, list) or not all(isinstance(number, int | float) for number in value):
        raise BadRecordError(f"{name} must be an array of numbers")
    vector = np.array(value, np.float64)
    with np.errstate(over="ignore"):
        length = np.linalg.norm(vector)
    if not np.isfinite(length) or length == 0:
        raise BadRecordError(f"{name} must be an array of finite numbers, not all of them 0")
    unit: Vector = (vector / length).astype(np.float32)
    return unit


def _by(value: Any, subject: str) -> By:
    default: By = "image" if subject == "image" else "text"
    if value is None or value == default:
        return default
    if value == "image" and subject == "vector":
        return "image"
    raise BadRecordError("by must be text for a text, image for an image, and either for a vector")


def _name(value: Any, default: str) -> str:
    if value is None:
        return default
    if not isinstance(value, str) or not value:
        raise BadRecordError("corpus must be a non-empty string")
    if len(value) > _LONGEST_NAME:
        raise BadRecordError(f"corpus is longer than {_LONGEST_NAME} characters: no corpus has such a name")
    return value


def _count(value: Any) -> int:
    if value is None:
        return 1
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_HITS:
        raise BadRecordError(f"k must be an integer from 1 to {MOST_HITS}")
    return value


def _filter(value: Any) -> Filter | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise BadRecordError("filters must be an object")
    _only(value, _FILTERS, "filter")
    made = Filter(
        source=_plain(value, "source"),
        after=_time(value, "after"),
        before=_time(value, "before"),
        language=_plain(value, "language"),
    )
    return None if made == Filter() else made


def _plain(filters: dict[str, Any], name: str) -> str | None:
    value = filters.get(name)
    if value is not None and not isinstance(value, str):
        raise BadRecordError(f"filter {name} must be a string")
    return value


def _time(filters: dict[str, Any], name: str) -> datetime | None:
    value = filters.get(name)
    if value is None:
        return None
    time = time_or_none(value) if isinstance(value, str | int | float) else None
    if time is None:
        raise BadRecordError(f"filter {name} must be a time such as 2020-01-31 or 2020-01-31T12:00:00Z")
    return time
