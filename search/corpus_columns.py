"""Column mapping: turns a row of a file into a text with metadata."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Final

import orjson

from connectors.row_formats import RawRow
from connectors.sources.parse import MAX_ID_BYTES
from core.errors import BadRecordError, SettingsError
from core.untrusted_text import shortened

MAX_TEXT: Final = 100_000
"""Characters. Models read far fewer, and a longer text is a file rather than a row."""

_USUAL: Final = {
    "text": ("text", "body", "sentence", "content"),
    "id": ("id_str", "id", "global_id"),
    "created": ("created_at", "created", "created_time", "date", "timestamp"),
    "source": ("source",),
    "language": ("language", "lang"),
}
"""Default column names of each role, best first."""


@dataclass(slots=True)
class Draft:
    """A row on its way through the cleaning steps; None means missing."""

    id: str | None
    text: str | None
    created: datetime | str | float | None = None
    source: str | None = None
    language: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    """The other columns with scalar values."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The column of a file for each role; None if the file has none."""

    text: str
    id: str | None = None
    """If None, a hash of the text is the id."""
    created: str | None = None
    source: str | None = None
    language: str | None = None

    @property
    def by_role(self) -> dict[str, str]:
        """Return the column of each role that has one."""
        pairs = ((role.name, getattr(self, role.name)) for role in fields(self))
        return {role: column for role, column in pairs if column is not None}

    @classmethod
    def chosen(cls, there: Iterable[str], **wanted: str | None) -> "Columns":
        """Choose the column of each role: the one asked for, or else one with a default name.

        Args:
            there: Columns of the file.
            **wanted: Column asked for, by role; None to look for a default name.

        Raises:
            SettingsError: A column does not exist, or there is none for the text; the message lists the columns.
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
        """Make a draft of a row; raise `BadRecordError` if a value has the wrong type or is too long."""
        text = _text(row, self.text, MAX_TEXT)
        mapped = set(self.by_role.values())
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
    """Hash texts to 32 hexadecimal digits (BLAKE2b, 128 bits).

    Lengths are hashed too, so that `("ab", "c")` and `("a", "bc")` differ.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def row_hash(draft: Draft) -> str:
    """Hash all values of a draft; raise `BadRecordError` if they cannot be written as JSON."""
    values = (draft.id, draft.text, draft.created, draft.source, draft.language, draft.metadata)
    try:
        return blake(orjson.dumps(values, option=orjson.OPT_SORT_KEYS))
    except TypeError as error:  # an integer beyond 64 bits, a lone surrogate
        raise BadRecordError(f"the row cannot be written as JSON: {error}") from None


def _text(row: RawRow, name: str, longest: int) -> str | None:
    value = row.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadRecordError(f"{name} must be a string, found {type(value).__name__}")
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise BadRecordError(f"{name} holds a lone surrogate (half a character)")
    if len(value) > longest:
        raise BadRecordError(f"{name} has {len(value)} characters; at most {longest} are allowed")
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
