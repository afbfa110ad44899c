"""Filter of posts by the value of a custom column."""

from typing import Final

import pyarrow as pa

from connectors.store.arrow_schema import is_custom
from connectors.store.interface import Condition, TableReader
from core.errors import BadRecordError

_LONGEST: Final = 500
"""Longest value, in characters; the rest is cut off."""
_YES: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def custom_columns(posts: TableReader | None) -> dict[str, str]:
    """Return the custom columns of posts with scalar values, and the Arrow type of each.

    Args:
        posts: The table of posts; None if there is none yet.
    """
    schema = posts.schema if posts is not None else ()
    return {it.name: str(it.type) for it in schema if is_custom(it) and _is_plain(it.type)}


def ids_where(posts: TableReader | None, column: str, value: str) -> frozenset[str]:
    """Return the ids of posts whose custom column has a value.

    Args:
        posts: The table of posts; None if there is none yet.
        column: Name of the custom column.
        value: The value as text.

    Raises:
        BadRecordError: There is no such column, or the value does not have its type.
        WorldError: The store cannot be read.
    """
    types = custom_columns(posts)
    if posts is None or column not in types:
        there = ", ".join(types) or "none"
        raise BadRecordError(f"no custom column {column[:60]!r}; the custom columns are: {there}")
    wanted = Condition(column, "=", _value(column, value[:_LONGEST], types[column]))
    return frozenset(posts.to_arrow(["global_id"], [wanted]).column(0).to_pylist())


def _is_plain(kind: pa.DataType) -> bool:
    return bool(pa.types.is_primitive(kind) or pa.types.is_string(kind))


def _value(column: str, value: str, kind: str) -> str | bool | int | float:
    """Parse a value of a column's type; raise `BadRecordError` if it does not have the type."""
    if kind == "string":
        return value
    if kind == "bool":
        if value.lower() not in _YES:
            raise BadRecordError(f"{column} takes true or false, found {value[:40]!r}")
        return _YES[value.lower()]
    try:
        return int(value) if kind.startswith(("int", "uint")) else float(value)
    except ValueError:
        raise BadRecordError(f"{column} takes a number, found {value[:40]!r}") from None
