"""From a file's row to a text with metadata, by a mapping of columns."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Final

import orjson

from connectors.row_file import RawRow
from connectors.sources.parse import MAX_ID_BYTES
from core.errors import BadRecordError, SettingsError
from core.untrusted_text import shortened

MAX_TEXT: Final = 100_000
"""Characters; models read far fewer, and a longer text is a file rather than a row."""

_USUAL: Final = {
    "text": ("text", "body", "sentence", "content"),
    "id": ("id_str", "id", "global_id"),
    "created": ("created_at", "created", "created_time", "date", "timestamp"),
    "source": ("source",),
    "language": ("language", "lang"),
}
"""Names that columns usually have, best first."""


@dataclass(slots=True)
class Draft:
    """A row on its way through the cleaning steps; what is None is missing."""

    id: str | None
    text: str | None
    created: datetime | str | float | None = None
    source: str | None = None
    language: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    """The other columns that hold one value each."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column of the file is what; None: the file has none."""

    text: str
    id: str | None = None
    """Where there is none, a hash of the text is the id."""
    created: str | None = None
    source: str | None = None
    language: str | None = None

    @property
    def named(self) -> dict[str, str]:
        """Role to column, of those that there are."""
        pairs = ((role.name, getattr(self, role.name)) for role in fields(self))
        return {role: column for role, column in pairs if column is not None}

    @classmethod
    def chosen(cls, there: Iterable[str], **wanted: str | None) -> "Columns":
        """The columns that are wanted, and for the others those with a usual name, of the columns that are `there`.

        Raises `SettingsError` listing them where a wanted one is not among them, or none can be the text.
        """
        names = list(dict.fromkeys(there))
        listed = shortened(", ".join(names), 500) or "none"
        for role, name in wanted.items():
            if name is not None and name not in names:
                raise SettingsError(f"there is no column {name!r} for --{role}; the columns are {listed}")
        found = {role: next((name for name in usual if name in names), None) for role, usual in _USUAL.items()}
        found |= {role: name for role, name in wanted.items() if name is not None}
        if found["text"] is None:
            raise SettingsError(f"no column is called text: name it with --text; the columns are {listed}")
        return cls(**found)  # type: ignore[arg-type]

    def draft(self, row: RawRow) -> Draft:
        """The row as a draft; raises `BadRecordError` where a value is not of its kind."""
        text = _text(row, self.text, MAX_TEXT)
        mapped = set(self.named.values())
        return Draft(
            id=_hashed_id(text) if self.id is None else _id(row, self.id),
            text=text,
            created=None if self.created is None else row.get(self.created),
            source=None if self.source is None else _text(row, self.source, 1000),
            language=None if self.language is None else _text(row, self.language, 1000),
            metadata={
                name: value.isoformat() if isinstance(value, datetime) else value
                for name, value in row.items()
                if name not in mapped and isinstance(value, str | int | float | bool | datetime)
            },
        )


def blake(*parts: str | bytes) -> str:
    """Hash of texts, 32 hexadecimal digits; no other division of the same letters has it."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def row_hash(draft: Draft) -> str:
    """Hash of all that a draft holds; raises `BadRecordError` where that cannot be written."""
    values = (draft.id, draft.text, draft.created, draft.source, draft.language, draft.metadata)
    try:
        return blake(orjson.dumps(values, option=orjson.OPT_SORT_KEYS))
    except TypeError as error:  # an integer beyond 64 bits, half a character
        raise BadRecordError(f"the row cannot be written as JSON: {error}") from None


def _text(row: RawRow, name: str, longest: int) -> str | None:
    value = row.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadRecordError(f"{name} must be a string, found {type(value).__name__}")
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise BadRecordError(f"{name} holds half a character")
    if len(value) > longest:
        raise BadRecordError(f"{name} has {len(value)} characters; at most {longest} are taken")
    return value


def _id(row: RawRow, name: str) -> str | None:
    value = row.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise BadRecordError(f"{name} must be a string or an integer, found {type(value).__name__}")
    if len(str(value).encode()) > MAX_ID_BYTES:
        raise BadRecordError(f"{name} is longer than {MAX_ID_BYTES} bytes")
    return str(value)


def _hashed_id(text: str | None) -> str | None:
    return None if text is None else blake(text)
