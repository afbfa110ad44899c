"""Parsers of times as others write them: in posts, corpora, search filters and HTTP headers."""

import math
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

from core.settings import LONGEST_WAIT

_EPOCH: Final = re.compile(r"-?[0-9]{9,}(?:\.[0-9]*)?")
"""Texts with fewer digits are ISO 8601 dates: 20231211."""
_EPOCH_OF_FLOAT: Final = re.compile(r"[0-9](?:\.[0-9]+)?[eE]\+?(?:0?[89]|1[0-5])")
"""Seconds in scientific notation, such as 1.7e9, as some programs write them."""
_DATE_OF_WORDS: Final = re.compile(
    r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) +([0-9]{1,2}) ([0-9:]{8}) (?:UTC|GMT|Z|([+-][0-9]{4})) ([0-9]{4})"
)
"""As NiFi's `${now()}` and Twitter write it; other names of zones are ambiguous."""
_DATE_OF_MAIL: Final = re.compile(
    r"(?:[A-Z][a-z]{2}, )?[0-9]{1,2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{5,8} (?:GMT|UTC|Z|[+-][0-9]{4})"
)
"""As in RFC 1123 and feeds; other names of zones are ambiguous."""
_DATE_WITH_DOTS: Final = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})((?:[ T,].*)?)")
"""Dates with dots are day first everywhere; with slashes it depends on the country."""
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SECONDS: Final = re.compile(r"[0-9]+(?:\.[0-9]*)?")


def parse_time(value: str | float | datetime) -> datetime:
    """Parse a time; the result is in UTC, which is also assumed if `value` has no zone.

    Accepted texts: ISO 8601, also with slashes in the date, without separators (`20231211`), or with ` UTC` at the end
    as BigQuery writes it; dates with dots, day first (`11.12.2023 08:00`); dates of Java and Twitter
    (`Mon Dec 11 08:00:00 UTC 2023`); dates of mail and feeds (`Mon, 11 Dec 2023 08:00:00 GMT`). Numbers, and texts of
    nine or more digits (`1702281600`, `1.7022816e9`), are seconds, milliseconds or microseconds since 1970.

    Raises:
        ValueError: if it is not a time, or beyond the years 1 to 9999.

    >>> parse_time("11.12.2023 08:00") == parse_time(1702281600) == parse_time("2023-12-11T09:00+01:00")
    True
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
    """Format a duration in the largest unit of which it has at least two: 110 s, 8 min, 47 h, 3 days."""
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:,.0f} s"


def time_or_none(value: str | float | datetime | None) -> datetime | None:
    """Parse a time like `parse_time`; None if `value` is not one."""
    if value is None or isinstance(value, bool):
        return None
    try:
        return parse_time(value)
    except ValueError:
        return None


def microseconds_of(time: datetime) -> int:
    """Convert a time with a zone to microseconds since 1970."""
    return (time - _START) // _MICROSECOND


def time_at(microseconds: int) -> datetime:
    """Convert microseconds since 1970 to a time in UTC."""
    return _START + microseconds * _MICROSECOND


def seconds_to_wait(retry_after: str | None, now: float) -> float | None:
    """Parse a `Retry-After` header, which holds seconds or a date, to seconds from `now`; None if it holds neither.

    Decimals are accepted: no standard allows them, but servers send them. The result is at most a month.
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
    iso = text[:10].replace("/", "-") + text[10:].removesuffix(" UTC")  # as BigQuery writes it
    return datetime.fromisoformat(iso)


def _epoch_time(number: float) -> datetime:
    """Interpret a number as seconds up to the year 5138, else milliseconds up to that year, else microseconds."""
    if not math.isfinite(number):
        raise ValueError(f"not a finite number of seconds: {number}")
    size = abs(number)
    unit = timedelta(microseconds=1 if size > 1e14 else 1_000 if size > 1e11 else 1_000_000)
    return _START + number * unit
