"""Times as others write them: in posts, in corpora, in filters of a search, in the headers of a server."""

import math
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from core.settings import LONGEST_WAIT

_EPOCH: Final = re.compile(r"-?[0-9]{9,}(?:\.[0-9]*)?")
"""Fewer digits are an ISO 8601 date: 20231211."""
_EPOCH_OF_FLOAT: Final = re.compile(r"[0-9](?:\.[0-9]+)?[eE]\+?(?:0?[89]|1[0-5])")
"""1.7e9, as programs write the same number."""
_DATE_OF_WORDS: Final = re.compile(
    r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) +([0-9]{1,2}) ([0-9:]{8}) (?:UTC|GMT|Z|([+-][0-9]{4})) ([0-9]{4})"
)
"""As NiFi's `${now()}` writes it, and Twitter; the names of other zones are ambiguous."""
_DATE_OF_MAIL: Final = re.compile(
    r"(?:[A-Z][a-z]{2}, )?[0-9]{1,2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{5,8} (?:GMT|UTC|Z|[+-][0-9]{4})"
)
"""As RFC 1123 and feeds write it; the names of other zones are ambiguous."""
_DATE_WITH_DOTS: Final = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})((?:[ T,].*)?)")
"""The day comes first wherever dates have dots; with slashes it depends on the country."""
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SECONDS: Final = re.compile(r"[0-9]+(?:\.[0-9]*)?")


def parse_time(value: str | float | datetime) -> datetime:
    """The time that `value` names, in UTC; UTC too where it names no zone.

    Texts are ISO 8601, with slashes in the date or without any marks (`20231211`), with ` UTC` behind it as BigQuery
    writes it, dates with dots (`11.12.2023 08:00`, the day first), what Java and Twitter make of a date
    (`Mon Dec 11 08:00:00 UTC 2023`), or what mail and feeds do (`Mon, 11 Dec 2023 08:00:00 GMT`). Numbers, and texts of
    nine digits and more (`1702281600`, `1.7022816e9`), are seconds, milliseconds or microseconds since 1970.

    Raises:
        ValueError: where it is no time, or one beyond the years 1 to 9999.
    """
    try:
        if isinstance(value, datetime):
            time = value
        else:
            time = _written_time(value.strip()) if isinstance(value, str) else _epoch_time(value)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (OverflowError, OSError):
        raise ValueError(f"out of range: {value!r}") from None


def duration_in_words(seconds: float) -> str:
    """How long something took or lasts, in the largest unit of which there are two: 110 s, 8 min, 47 h, 3 days."""
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:,.0f} s"


def time_or_none(value: str | float | datetime | None) -> datetime | None:
    """The time that `value` names, as `parse_time` reads it; None where it names none."""
    if value is None or isinstance(value, bool):
        return None
    try:
        return parse_time(value)
    except ValueError:
        return None


def microseconds_of(time: datetime) -> int:
    """Microseconds from 1970 to a time that has a zone."""
    return (time - _START) // _MICROSECOND


def time_at(microseconds: int) -> datetime:
    """The time, in UTC, so many microseconds after 1970."""
    return _START + microseconds * _MICROSECOND


def seconds_to_wait(retry_after: str | None, now: float) -> float | None:
    """What a `Retry-After` asks for, in seconds from `now`; it holds seconds or a date. None where it holds neither.

    Seconds may have decimals, which no standard allows and servers send. Nobody is to wait longer than a month.
    """
    text = (retry_after or "").strip()
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        try:
            date = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    return min(max(0.0, seconds), LONGEST_WAIT)


def _written_time(text: str) -> datetime:
    if _EPOCH.fullmatch(text):
        return _epoch_time(float(text) if "." in text else int(text))
    if _EPOCH_OF_FLOAT.fullmatch(text):
        return _epoch_time(float(text))
    words = _DATE_OF_WORDS.fullmatch(text)
    if words is not None:
        name, day, clock, zone, year = words.groups()
        return datetime.fromisoformat(f"{year}-{_MONTHS.index(name) + 1:02d}-{int(day):02d}T{clock}{zone or ''}")
    if _DATE_OF_MAIL.fullmatch(text):
        return parsedate_to_datetime(text)
    dotted = _DATE_WITH_DOTS.fullmatch(text)
    if dotted is not None:
        day, month, year, clock = dotted.groups()
        text = f"{year}-{int(month):02d}-{int(day):02d}{clock.replace(',', '', 1).replace('  ', ' ')}"
    iso = text[:10].replace("/", "-") + text[10:].removesuffix(" UTC")  # BigQuery's
    return datetime.fromisoformat(iso)


def _epoch_time(number: float) -> datetime:
    """Seconds up to the year 5138, milliseconds from 1973 up to it, and microseconds beyond."""
    if not math.isfinite(number):
        raise ValueError(f"no number of seconds: {number}")
    size = abs(number)
    unit = timedelta(microseconds=1 if size > 1e14 else 1_000 if size > 1e11 else 1_000_000)
    return _START + number * unit
