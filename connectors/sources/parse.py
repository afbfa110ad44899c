"""Parse and validate posts.

Parsing accepts what NiFi may turn a post into: its schemas and attributes convert numbers to strings and strings to
numbers, and it writes times in half a dozen formats.
"""

import re
from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import orjson

from connectors.sources.removal_form import is_removal, removal_of
from core.amounts import count_of
from core.errors import BadRecordError
from core.json_text import json_of
from core.records import DeadLetter, Message, Post, Removal
from core.times import parse_time
from core.traces import TRACES

STAGE: Final = "parse"
"""Name of this stage in dead letters."""

MAX_BYTES: Final = 2**20
"""Maximum size of a message."""

MAX_ID_BYTES: Final = 512
"""Maximum length of a `global_id`, which is a key of topics, state and the store."""

MAX_DEPTH: Final = 64
"""Maximum nesting of unknown fields; deeper ones could be parsed, but not be serialised as JSON or pickled."""

_TEXTS: Final = ("author", "created_time", "desc", "url", "source", "post_id")
_NUMBERS_TOO: Final = frozenset({"author", "created_time", "desc", "source", "post_id"})
"""Texts that look like numbers and may have been converted to numbers."""
_EXACT: Final = 2**53
"""Below this value, floats represent integers exactly."""
_INTEGER: Final = re.compile(r"([+-]?[0-9]{1,20})(?:\.0*)?|")
_UNITS: Final = frozenset("kKmM")
"""Suffixes of abbreviated scores, as in 1.2k."""
_MOST_WRONG: Final = 200
_LOOKED_AT: Final = 100
"""Number of an array's elements to check for reasons."""
_REASONS: Final = 3
_KNOWN: Final = frozenset({*_TEXTS, "global_id", "score", "ingestion_time"})


def parse_post(message: Message) -> Post:
    """Parse the post in `message`; raises `BadRecordError` with the invalid field and what was expected."""
    return _post_of(json_object(message.value, "message"), message)


def _post_of(body: dict[str, Any], message: Message) -> Post:
    fields = {name: _text(body, name) for name in _TEXTS}
    return Post(
        global_id=_global_id(body),
        url=_url(fields["url"]),
        message=message,
        author=fields["author"],
        created_time=fields["created_time"],
        description=fields["desc"],
        score=_score(body.get("score")),
        source=fields["source"],
        ingestion_time=_time("ingestion_time", body.get("ingestion_time")),
        extra={name: _extra(name, value) for name, value in body.items() if name not in _KNOWN},
        edited=_edited(body.get("edited")),
        post_id=_fitting_id("post_id", fields["post_id"]),
    )


def parsed(message: Message) -> Post | Removal | DeadLetter:
    """Parse a message into a post or a removal; an invalid one becomes a dead letter with the reason."""
    try:
        body = json_object(message.value, "message")
        return removal_of(body, message) if is_removal(body) else _traced(_post_of(body, message))
    except BadRecordError as error:
        return DeadLetter(message, STAGE, type(error).__name__, str(error))


def _traced(post: Post) -> Post:
    if not TRACES.is_on:
        return post
    return replace(post, trace=TRACES.received("post", post.global_id, post.message.headers))


def json_object(value: bytes, what: str) -> dict[str, Any]:
    """Parse the JSON object in a message; raises `BadRecordError`, which names `what` if it is too large."""
    if len(value) > MAX_BYTES:
        raise BadRecordError(f"{what} of {len(value)} bytes; at most {MAX_BYTES} are read")
    try:
        body = json_of(value)
    except orjson.JSONDecodeError as error:
        raise BadRecordError(f"not JSON in UTF-8: {error}") from None
    if not isinstance(body, dict):
        raise BadRecordError(
            f"expected a JSON object, found {_listed(body) if isinstance(body, list) else _kind(body)}"
        )
    return body


def _global_id(body: dict[str, Any]) -> str:
    value = body.get("global_id")
    if value is None and isinstance(body.get("wrong"), str) and "item" in body:  # an invalid item of a service
        raise BadRecordError(f"an entry of no known form: {body['wrong'][:_MOST_WRONG]}")
    if value is None or value == "":
        raise BadRecordError("global_id is missing")
    if not isinstance(value, str):
        raise BadRecordError(f"global_id must be a string, found {_kind(value)}")
    return _fitting_id("global_id", value)


def _fitting_id(name: str, value: str) -> str:
    if len(value.encode()) > MAX_ID_BYTES:
        raise BadRecordError(f"{name} is longer than {MAX_ID_BYTES} bytes")
    return value


def _url(value: str) -> str:
    value = value.strip()
    if not value:
        raise BadRecordError("url is missing")
    return value


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if name in _NUMBERS_TOO and _is_number(value):
        return str(int(value)) if abs(value) < _EXACT and value == int(value) else str(value)
    if not isinstance(value, str):
        raise BadRecordError(f"{name} must be a string, found {_kind(value)}")
    return value


def _extra(name: str, value: Any) -> Any:
    if _is_deeper(value, MAX_DEPTH):
        raise BadRecordError(f"{name[:40]} is nested more than {MAX_DEPTH} deep")
    return value


def _is_deeper(value: Any, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    return depth == 0 or any(_is_deeper(it, depth - 1) for it in (value.values() if isinstance(value, dict) else value))


def _score(value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, str):
        value = "" if value.strip().lower() == "nan" else value.strip()
        if value[-1:] in _UNITS and (count := count_of(value)) is not None:
            value = str(count)
        match = _INTEGER.fullmatch(value)
        if match is None:
            raise BadRecordError(f"score must be an integer, found {value[:40]!r}")
        score = int(match[1] or 0)
    elif _is_number(value) and (isinstance(value, int) or value.is_integer()):
        score = int(value)
    else:
        raise BadRecordError(f"score must be an integer, found {_kind(value)}")
    if not -(2**63) <= score < 2**63:
        raise BadRecordError("score does not fit 64 bits")
    return score


def _edited(value: Any) -> datetime | None:
    return None if isinstance(value, bool) else _time("edited", value)  # Reddit has false, and true for old edits


def _time(name: str, value: Any) -> datetime | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) and not _is_number(value):
        raise BadRecordError(f"{name} must be a time, found {_kind(value)}")
    try:
        return parse_time(value)
    except ValueError:
        raise BadRecordError(f"{name} is no time: {str(value)[:40]!r}") from None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _listed(values: list[Any]) -> str:
    """Describe an array of invalid elements by the most frequent reasons."""
    if not values:
        return "an array"
    wrong: Counter[str] = Counter()
    for value in values[:_LOOKED_AT]:
        try:
            parse_post(Message(orjson.dumps(value), ""))
        except (BadRecordError, orjson.JSONEncodeError) as error:
            wrong[str(error)] += 1
    reasons = "; ".join(reason for reason, _ in wrong.most_common(_REASONS))
    return f"an array of {len(values):,} elements that are not posts: {reasons}"


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")
