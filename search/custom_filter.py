"""Posts by the value of a custom column."""

from typing import Final

import pyarrow as pa

from connectors.store.arrow_schema import is_custom
from connectors.store.interface import Condition, TableReader
from core.errors import BadRecordError

_LONGEST: Final = 500
"""Characters of a value."""
_YES: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def custom_columns(posts: TableReader | None) -> dict[str, str]:
    """The custom columns that the posts of a store have, with their types as Arrow calls them.

    Args:
        posts: The table of posts; None: there is none yet.
    """
    schema = posts.schema if posts is not None else ()
    return {it.name: str(it.type) for it in schema if is_custom(it) and _is_plain(it.type)}


def ids_where(posts: TableReader | None, column: str, value: str) -> frozenset[str]:
    """Ids of posts whose custom column has a value.

    Args:
        posts: The table of posts; None: there is none yet.
        column: Its name.
        value: As somebody typed it.

    Raises:
        BadRecordError: where there is no such column, or the value is none of its type.
        WorldError: where the store cannot be read.
    """
    own = custom_columns(posts)
    if posts is None or column not in own:
        there = ", ".join(own) or "none"
        raise BadRecordError(f"no custom column is called {column[:60]!r}; there are: {there}")
    wanted = Condition(column, "=", _value(column, value[:_LONGEST], own[column]))
    return frozenset(posts.whole(["global_id"], [wanted]).column(0).to_pylist())


def _is_plain(kind: pa.DataType) -> bool:
    return bool(pa.types.is_primitive(kind) or pa.types.is_string(kind))


def _value(column: str, value: str, kind: str) -> str | bool | int | float:
    """A value of a column's type; raises `BadRecordError`."""
    if kind == "string":
        return value
    if kind == "bool":
        if value.lower() not in _YES:
            raise BadRecordError(f"{column} is true or false, found {value[:40]!r}")
        return _YES[value.lower()]
    try:
        return int(value) if kind.startswith(("int", "uint")) else float(value)
    except ValueError:
        raise BadRecordError(f"{column} is a number, found {value[:40]!r}") from None
