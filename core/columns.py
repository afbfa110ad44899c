"""Column types independent of any store: stores, schemas and documents map them to their own types."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Text:
    """A string in UTF-8."""


@dataclass(frozen=True, slots=True)
class Integer:
    """A signed integer of 64 bits, or of `bits`."""

    bits: int = 64


@dataclass(frozen=True, slots=True)
class Number:
    """A 64-bit floating-point number."""


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
    """Named fields; a field that a row lacks is null."""

    fields: Mapping[str, "Type"]


@dataclass(frozen=True, slots=True)
class AnyJson:
    """Any JSON value; a store without such a type keeps it as JSON text."""


Type = Text | Integer | Number | Flag | Binary | VectorOf | ListOf | Struct | AnyJson


@dataclass(frozen=True, slots=True)
class Column:
    """A named, typed value of a row."""

    name: str
    type: Type
    meaning: str
    """One sentence for readers of a schema or of the documentation."""
    nullable: bool = True
    schema: Mapping[str, Any] = field(default_factory=dict)
    """Further JSON Schema keywords, such as `minimum`, that the type does not imply; None removes one."""
    is_custom: bool = False
    """Custom column: its values come from a field of `extra`, and a table keeps it even when the settings omit it."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a key column; writing is an upsert: of two rows with the same key, the later one wins."""

    name: str
    key: str
    columns: tuple[Column, ...]
    newest: str | None = None
    """A numeric column: a row is only replaced by one whose value here is not smaller."""
    looked_up: tuple[str, ...] = ()
    """Columns other than the key that rows are looked up by."""
