"""What rows are made of, in no store's own words: stores, schemas and documents translate these types into theirs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Text:
    """A string in UTF-8."""


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number of 64 bits, or of fewer where `bits` says so."""

    bits: int = 64


@dataclass(frozen=True, slots=True)
class Number:
    """A floating-point number of 64 bits."""


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""


@dataclass(frozen=True, slots=True)
class Binary:
    """Bytes."""


@dataclass(frozen=True, slots=True)
class VectorOf:
    """A float32 vector of a fixed length."""

    dimension: int


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of values of one type."""

    item: "Type"


@dataclass(frozen=True, slots=True)
class Struct:
    """Named values; a field that a row lacks is null."""

    fields: Mapping[str, "Type"]


@dataclass(frozen=True, slots=True)
class AnyJson:
    """Any JSON value; a store without such a type keeps it as text."""


Type = Text | Integer | Number | Flag | Binary | VectorOf | ListOf | Struct | AnyJson


@dataclass(frozen=True, slots=True)
class Column:
    """A named value of a row."""

    name: str
    type: Type
    meaning: str
    """One sentence for the reader of a schema or of the documentation."""
    nullable: bool = True
    schema: Mapping[str, Any] = field(default_factory=dict)
    """Further keywords of JSON Schema, as `minimum`, that the type does not say; None takes one away."""
    is_custom: bool = False
    """Whether a user added it: its values come from a field of `extra`, and a table keeps it when nobody names it."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows that have a key: of two rows with one key the later one counts."""

    name: str
    key: str
    columns: tuple[Column, ...]
    newest: str | None = None
    """A column of numbers: no row is replaced by one that has less there."""
    looked_up: tuple[str, ...] = ()
    """Columns besides the key by whose values rows are looked up."""
