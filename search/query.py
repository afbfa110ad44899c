"""From a message's bytes to a query."""

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
"""A hundred hits fit a message; who wants more wants an export."""

_LONGEST_NAME: Final = 100
"""Characters; what an answer repeats of its query is bounded."""
By = Literal["text", "image"]
"""Which vectors of a corpus are searched; only posts have those of images."""

_SUBJECTS: Final = ("text", "image", "vector")
_FIELDS: Final = frozenset({"id", "k", "corpus", "filters", "by", *_SUBJECTS})
_FILTERS: Final = frozenset({"source", "after", "before", "language"})


class BadQueryError(BadRecordError):
    """A query that cannot be asked; it has an id all the same, since it will be answered."""

    def __init__(self, reason: str, id_: str) -> None:
        super().__init__(reason)
        self.id = id_


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked."""

    id: str
    """Of the asker's choice; the answer carries it."""
    subject: str | bytes | Vector
    """A text, the bytes of an image, or a vector of any length but 0."""
    corpus: str
    k: int = 1
    by: By = "text"
    filter: Filter | None = None
    trace: str = ""
    """The W3C context of its trace; empty where traces are off."""

    @property
    def text(self) -> str:
        """What was asked in words; empty where it was not."""
        return self.subject if isinstance(self.subject, str) else ""


def parse_query(message: Message, corpus: str) -> Query:
    """The query in `message`, of `corpus` where it names none; raises `BadQueryError` saying what is wrong."""
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
    """The query in a body of the first version, `{"sentence_to_encode": …}`; its id is the message's key or origin."""
    id_ = _origin_id(message)
    try:
        text = json_object(message.value, "query").get("sentence_to_encode")
        return Query(id_, _text(text, "sentence_to_encode"), corpus)
    except BadRecordError as error:
        raise BadQueryError(str(error), id_) from None


def _origin_id(message: Message) -> str:
    """An id for what brings none: the message's key, or where it was read."""
    try:
        key = (message.key or b"").decode()
    except UnicodeDecodeError:
        key = ""
    return key if 0 < len(key.encode()) <= MAX_ID_BYTES else message.origin


def _shown_id(value: Any) -> str:
    """The id that an answer can carry even where the query is not valid."""
    shown = value if isinstance(value, str) else str(value) if isinstance(value, int | float) else ""
    return shown if len(shown.encode()) <= MAX_ID_BYTES else ""


def query_of(body: Mapping[str, Any], corpus: str) -> Query:
    """Make a query from the fields of its JSON body.

    Args:
        body: `id`, one of `text`, `image` (base64) and `vector`, and optionally `k`, `corpus`, `by` and `filters`.
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
        raise BadRecordError(f"expected one of text, image and vector, found {' and '.join(given) or 'none'}")
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
        raise BadRecordError(f"unknown {kind} {unknown[0][:40]!r}; there are {', '.join(sorted(known))}")


def _subject(value: Any, name: str) -> str | bytes | Vector:
    if name == "text":
        return _text(value, name)
    return _image(value, name) if name == "image" else _vector(value, name)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise BadRecordError(f"{name} must be a string")
    if not value.strip():
        raise BadRecordError(f"{name} is empty: there is nothing to look for")
    return value


def _image(value: Any, name: str) -> bytes:
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
        raise BadRecordError(f"{name} must be an array of finite numbers that are not all 0")
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
        raise BadRecordError("corpus must be a string, and not an empty one")
    if len(value) > _LONGEST_NAME:
        raise BadRecordError(f"corpus is longer than {_LONGEST_NAME} characters: no corpus is called so")
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
