"""From a message's bytes to a valid post.

What NiFi may make of a post is as good as the post itself: its schemas and attributes turn numbers into strings and
strings into numbers, and it writes times in half a dozen forms.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from core.errors import BadRecordError
from core.records import Message, Post

MAX_BYTES: Final = 2**20
"""A larger message is no post."""

MAX_ID_BYTES: Final = 512
"""A longer `global_id` is no id: it is a key of topics, of state and of the store."""

MAX_DEPTH: Final = 64
"""Unknown fields that nest deeper could be read here, but not be written as JSON or pickled later."""

_TEXTS: Final = ("author", "created_time", "desc", "url", "source")
_NUMBERS_TOO: Final = frozenset({"author", "created_time", "desc", "source"})
"""Texts that may look like a number and so have become one."""
_EXACT: Final = 2**53
"""Below it a float that is an integer is that integer."""
_INTEGER: Final = re.compile(r"([+-]?[0-9]{1,20})(?:\.0*)?|")
_EPOCH: Final = re.compile(r"-?[0-9]{9,}(?:\.[0-9]*)?")
"""Fewer digits are an ISO 8601 date: 20231211."""
_JAVA_DATE: Final = re.compile(r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) +([0-9]{1,2}) ([0-9:]{8}) (?:UTC|GMT|Z) ([0-9]{4})")
"""As NiFi's `${now()}` writes it; the names of other zones are ambiguous."""
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
_KNOWN: Final = frozenset({*_TEXTS, "global_id", "score", "ingestion_time"})


def parse_post(message: Message) -> Post:
    """The post in `message`; raises `BadRecordError` saying which field is wrong and what was expected."""
    body = _decode(message.value)
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
        ingestion_time=_time(body.get("ingestion_time")),
        extra={name: _extra(name, value) for name, value in body.items() if name not in _KNOWN},
    )


def _decode(value: bytes) -> dict[str, Any]:
    if len(value) > MAX_BYTES:
        raise BadRecordError(f"message of {len(value)} bytes; at most {MAX_BYTES} are read")
    try:
        body = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise BadRecordError(f"not JSON in UTF-8: {error}") from None
    if not isinstance(body, dict):
        raise BadRecordError(f"expected a JSON object, found {_kind(body)}")
    return body


def _global_id(body: dict[str, Any]) -> str:
    value = body.get("global_id")
    if value is None or value == "":
        raise BadRecordError("global_id is missing")
    if not isinstance(value, str):
        raise BadRecordError(f"global_id must be a string, found {_kind(value)}")
    if len(value.encode()) > MAX_ID_BYTES:
        raise BadRecordError(f"global_id is longer than {MAX_ID_BYTES} bytes")
    return value


def _url(value: str) -> str:
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
        match = _INTEGER.fullmatch(value.strip())
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


def _time(value: Any) -> datetime | None:
    """ISO 8601 text or what Java makes of a date, or seconds, milliseconds or microseconds since 1970.

    UTC where no zone is given.
    """
    if value is None or value == "":
        return None
    try:
        if isinstance(value, str):
            time = _written_time(value.strip())
        elif _is_number(value):
            time = _epoch_time(value)
        else:
            raise BadRecordError(f"ingestion_time must be a time, found {_kind(value)}")
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise BadRecordError(f"ingestion_time is no time: {str(value)[:40]!r}") from None


def _written_time(text: str) -> datetime:
    if _EPOCH.fullmatch(text):
        return _epoch_time(float(text) if "." in text else int(text))
    java = _JAVA_DATE.fullmatch(text)
    if java is not None:
        name, day, clock, year = java.groups()
        return datetime.fromisoformat(f"{year}-{_MONTHS.index(name) + 1:02d}-{int(day):02d}T{clock}")
    return datetime.fromisoformat(text[:10].replace("/", "-") + text[10:])


def _epoch_time(number: float) -> datetime:
    """Seconds up to the year 5138, milliseconds from 1973 up to it, and microseconds beyond."""
    size = abs(number)
    unit = timedelta(microseconds=1 if size > 1e14 else 1_000 if size > 1e11 else 1_000_000)
    return _START + number * unit


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")
