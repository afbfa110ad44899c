"""Map foreign columns to the fields of a post, by the settings and by common column names."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import Any, Final

import orjson

from connectors.sources.usual_names import USUAL_NAMES
from core.amounts import count_of, without_thousands
from core.errors import SettingsError
from core.telemetry import MISFITS
from core.times import time_or_none

OURS: Final = frozenset({*USUAL_NAMES, "post_id"})
_ADDRESS: Final = re.compile(r"(https?|s3|gs|file)://\S+", re.IGNORECASE)
_IMAGE: Final = re.compile(r"[^:?#\s][^:?#]*\.(jpe?g|png|gif|webp|bmp|tiff?|avif|jp2|ppm)", re.IGNORECASE)
_SEVERAL: Final = re.compile(r"[,;|\s]+(?=https?://)")
_QUOTED: Final = re.compile(r"'([^']+)'")
"""Strings in a list as Python and pandas print it."""
_WHOLE: Final = re.compile(r"(-?\d+)\.0+")
"""An integer as pandas writes it in a column with missing values."""
_INTEGER: Final = re.compile(r"-?(0|[1-9]\d*)(\.0+)?")
"""Without leading zeros, which would be lost: 007 is text."""
_WITH_DOTS: Final = re.compile(r"[1-9]\d{0,2}(\.\d{3})+")
"""An integer with dots between thousands, as in much of Europe: 1.234, but not 0.123."""
_NUMBER: Final = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d{1,3})?")
_DATE: Final = re.compile(r"\d{4}[-/]\d\d[-/]\d\d|\d{1,2}\.\d{1,2}\.\d{4}|[A-Z][a-z]{2} \d{4}")
_NOTHING: Final = frozenset({"", "nan", "none", "null", "n/a", "na", "nat", "-", "<na>"})
"""Placeholders for missing values."""
_MOST: Final = 20
"""Maximum number of images in one row."""

InputRow = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ChosenColumn:
    """A column chosen in the settings."""

    name: str
    """Name of a post's field, or of a custom column."""
    field: str
    """Name of the input's field."""
    kind: str = ""
    """Type of its values, one of `KINDS`; empty: infer it."""


def chosen_columns(columns: Iterable[str]) -> tuple[ChosenColumn, ...]:
    """Parse the setting `columns`, entries `NAME=FIELD` or `NAME=FIELD:TYPE`; raises `SettingsError`."""
    made = []
    for text in columns:
        name, equals, field = (part.strip() for part in text.partition("="))
        before, colon, kind = field.rpartition(":")
        if colon and before and kind in KINDS:
            field = before
        else:
            kind = ""
        if not (name and equals and field):
            raise SettingsError(
                f"{text!r} is not a column: write --column NAME=FIELD, as url=image_url, or NAME=FIELD:TYPE with one "
                f"of {', '.join(KINDS)}"
            )
        made.append(ChosenColumn(name, field, kind))
    twice = [it.name for it in made if sum(it.name == other.name for other in made) > 1]
    if twice:
        raise SettingsError(f"--column {twice[0]}=… is given twice: a column has one field")
    return tuple(made)


def mapping_as_said(chosen: Sequence[ChosenColumn]) -> "ColumnMapping":
    """Return a mapping for messages that were not sampled: fields have our names, except the chosen ones.

    Other fields do not become columns, since whoever writes the topic may add any.
    """
    named = {it.name for it in chosen}
    return ColumnMapping((), [*chosen, *(ChosenColumn(name, name) for name in sorted(OURS - named))])


class ColumnMapping:
    """Maps rows to posts.

    Args:
        rows: A sample, from which columns and types are inferred.
        chosen: Columns from the settings; they take precedence.
        is_table: Whether names come from a table's header, not from each row: then all other columns become custom
            columns.
    """

    def __init__(self, rows: Sequence[InputRow], chosen: Sequence[ChosenColumn], *, is_table: bool = False) -> None:
        self.columns = list(dict.fromkeys(name for row in rows for name in row))
        """Names of the columns in the sample."""
        self.fields = {it.name: it.field for it in chosen}
        """Names of the input's fields, by name of the post's field or custom column."""
        self._kinds = {it.name: it.kind for it in chosen if it.kind}
        for ours, usual in USUAL_NAMES.items():
            if ours not in self.fields and (found := self._found(ours, usual, rows)) is not None:
                self.fields[ours] = found
        self._own = {it.name: it.field for it in chosen if it.name not in OURS}
        self._taken = {*self.fields.values()}
        for name, field in self._own.items():
            self._kinds.setdefault(name, _kind_of([_value(row, field) for row in rows]))
        left = [name for name in self.columns if name not in self._taken and name not in OURS] if is_table else []
        for name in left:
            self._own.setdefault(name, name)
            self._kinds.setdefault(name, _kind_of([row.get(name) for row in rows]))
        self._taken |= {*left}
        counts = [self.fields["score"]] if "score" in self.fields else []
        counts += [field for name, field in self._own.items() if self._kinds[name] == "int"]
        self._dotted = {it for it in counts if _has_thousands_with_dots(_value(row, it) for row in rows)}

    @property
    def own(self) -> dict[str, str]:
        """Return the type of each custom column, by name."""
        return {name: self._kinds[name] for name in self._own}

    def posts(self, row: InputRow) -> list[dict[str, Any]]:
        """Return the posts of a row: one per image, numbered from 1 if there are several; one if there is no image."""
        made: dict[str, Any] = {
            name if name not in OURS else f"input_{name}": value
            for name, value in row.items()
            if name not in self._taken and not _is_nothing(value)
        }
        for name, field in self._own.items():
            value = _value(row, field)
            if value is not _ABSENT and not _is_nothing(value):
                made[name] = self._typed(name, self._without_dots(field, value))
        for name in ("desc", "author", "created_time", "score", "source", "ingestion_time", "edited", "post_id"):
            value = _value(row, self.fields[name]) if name in self.fields else _ABSENT
            if value is not _ABSENT and not _is_nothing(value):
                read: Callable[[Any], Any] = _READ.get(name, _as_text)
                made[name] = read(self._without_dots(self.fields[name], value))
        found = _value(row, self.fields["url"]) if "url" in self.fields else None
        images = _addresses(found)[:_MOST]
        name = _id_of(row, self.fields.get("global_id"), images)
        if len(images) < 2:
            return [{"global_id": name, "url": images[0] if images else "", **made}]
        return [
            {"global_id": f"{name}_{place}", "post_id": name, "url": url, **made} for place, url in enumerate(images, 1)
        ]

    def _found(self, ours: str, usual: Sequence[str], rows: Sequence[InputRow]) -> str | None:
        """Return the input's field for one of ours; for images and times the candidate with the most valid values."""
        by_name = {_plain(it): it for it in reversed(self.columns)}
        loosely = {_without_joints(name): it for name, it in by_name.items()}
        found = [*map(by_name.get, usual), *(loosely.get(_without_joints(name)) for name in usual)]
        there = [it for it in dict.fromkeys(found) if it is not None and it not in self.fields.values()]
        fits = _FITS.get(ours)
        if fits is None:
            return next((it for it in there if any(not _is_nothing(row.get(it)) for row in rows)), None)
        if ours == "url" and not any(_share(rows, it, fits) for it in there):
            there = [it for it in self.columns if _share(rows, it, _is_image) >= 0.5]
        ranked = sorted(there, key=lambda it: -min(_share(rows, it, fits), 0.5))
        return ranked[0] if ranked and _share(rows, ranked[0], fits) else None

    def _without_dots(self, field: str, value: Any) -> Any:
        """Remove the dots between thousands from a count, if its column uses them."""
        is_dotted = field in self._dotted and isinstance(value, str) and _WITH_DOTS.fullmatch(value.strip())
        return value.replace(".", "") if is_dotted else value

    def _typed(self, name: str, value: Any) -> Any:
        typed = KINDS[self._kinds[name]](value)
        if typed is None:
            MISFITS.labels(name).inc()
        return typed


_ABSENT: Final = object()


def missing(rows: Sequence[InputRow], chosen: Iterable[ChosenColumn]) -> list[str]:
    """Return the chosen fields that no row has; [] if there are no rows."""
    return [it.field for it in chosen if rows and all(_value(row, it.field) is _ABSENT for row in rows)]


def _value(row: InputRow, field: str) -> Any:
    """Return a field of a row; dots in its name may lead to nested fields."""
    if field in row:
        return row[field]
    found: Any = row
    for name in field.split("."):
        if not isinstance(found, dict) or name not in found:
            return _ABSENT
        found = found[name]
    return found


def _kind_of(values: Iterable[Any]) -> str:
    """Infer the type of all values, ignoring missing ones."""
    there = [value for value in values if value is not _ABSENT and not _is_nothing(value)]
    if not there or any(isinstance(it, dict | list) for it in there):
        return "text"
    texts = [str(it).strip() for it in there]
    if all(isinstance(it, bool) or text.lower() in {"true", "false"} for it, text in zip(there, texts, strict=True)):
        return "bool"
    if all(_INTEGER.fullmatch(it) for it in texts):  # as a float, an id of 19 digits would lose precision
        return "int" if all(_integer(it) is not None for it in texts) else "text"
    if all(_NUMBER.fullmatch(it) for it in texts):
        return "float"
    return "time" if all(_DATE.search(text) and _is_time(it) for it, text in zip(there, texts, strict=True)) else "text"


def _plain(name: str) -> str:
    return re.sub(r"[\s./()#:-]+", " ", name.lower()).strip().replace(" ", "_")


def _without_joints(name: str) -> str:
    """Remove underscores, so that `created_at` equals `createdAt` in lower case."""
    return name.replace("_", "")


def _has_thousands_with_dots(values: Iterable[Any]) -> bool:
    """Check whether dots separate thousands: all values are integers, some with dots and the others short."""
    texts = [str(it).strip() for it in values if it is not _ABSENT and not _is_nothing(it)]
    dotted = [it for it in texts if _WITH_DOTS.fullmatch(it)]
    return bool(dotted) and all(_WITH_DOTS.fullmatch(it) or it.isdecimal() for it in texts)


def _is_nothing(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in _NOTHING
    return value is None or (isinstance(value, float) and value != value) or value in ([], {})  # noqa: PLR0124


def _share(rows: Sequence[InputRow], field: str, fits: Callable[[Any], bool]) -> float:
    """Return the share of non-missing values that fit, 0 to 1."""
    values = [row[field] for row in rows if not _is_nothing(row.get(field))]
    return sum(map(fits, values)) / len(values) if values else 0.0


def _addresses(value: Any) -> list[str]:
    """Return the URLs in a value: a single one, or a list, also in one string."""
    if isinstance(value, dict):
        value = next((value[name] for name in ("url", "src", "path") if name in value), None)
    if isinstance(value, list | tuple):
        return list(dict.fromkeys(address for it in islice(value, _MOST) for address in _addresses(it)))
    if not isinstance(value, str) or _is_nothing(value):
        return []
    text = value.strip()
    if text.startswith("[") and text.endswith("]"):
        try:
            return _addresses(orjson.loads(text))
        except orjson.JSONDecodeError:
            return _addresses(_QUOTED.findall(text)) or [text]
    return _SEVERAL.split(text)


def _is_address(value: Any) -> bool:
    found = _addresses(value)
    return bool(found) and all(_ADDRESS.fullmatch(it) or _IMAGE.fullmatch(it) for it in found)


def _is_image(value: Any) -> bool:
    found = _addresses(value)
    return bool(found) and all(_IMAGE.search(it.partition("?")[0]) for it in found)


def _is_time(value: Any) -> bool:
    return time_or_none(value) is not None if isinstance(value, str | int | float) else hasattr(value, "isoformat")


def _id_of(row: InputRow, field: str | None, images: Sequence[str]) -> str:
    """Return the id of a row, or a hash of its contents if it has none."""
    value = _value(row, field) if field is not None else None
    if value is not _ABSENT and not _is_nothing(value):
        return _as_text(value)
    held = orjson.dumps(row, default=str, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    return blake2b(held or "".join(images).encode(), digest_size=10).hexdigest()


def _as_text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, dict):  # an account: use its name
        names = ("username", "screen_name", "acct", "handle", "name", "unique_id", "uniqueId", "id")
        value = next((value[name] for name in names if not _is_nothing(value.get(name))), "")
    if isinstance(value, list):
        return " ".join(filter(None, map(_as_text, value)))
    text = str(value).strip()
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def _time(value: Any) -> str:
    """Convert an unambiguous time to ISO 8601; leave any other unchanged."""
    return _plain_time(value) or _as_text(value)


def _integer(value: Any) -> int | None:
    count = count_of(value)
    return count if count is not None and -(2**63) <= count < 2**63 else None


def _number(value: Any) -> float | None:
    try:
        return float(without_thousands(str(value)))
    except ValueError:
        return None


def _bool(value: Any) -> bool | None:
    return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(_as_text(value).lower())


def _plain_time(value: Any) -> str | None:
    time = time_or_none(value) if isinstance(value, str | int | float) or hasattr(value, "tzinfo") else None
    return None if time is None else time.isoformat()


KINDS: Final[dict[str, Callable[[Any], Any]]] = {
    "text": _as_text,
    "int": _integer,
    "float": _number,
    "bool": _bool,
    "time": _plain_time,
}
_READ: Final[dict[str, Callable[[Any], Any]]] = {
    "created_time": _time,
    "ingestion_time": _plain_time,
    "edited": _plain_time,
    "score": lambda value: _integer(value) or 0,
}
_FITS: Final[dict[str, Callable[[Any], bool]]] = {"url": _is_address, "created_time": _is_time}
