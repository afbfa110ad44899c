"""Posts by the value of a column of one's own."""

from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from connectors.sinks.record_table import POSTS
from connectors.store.arrow_schema import is_own
from connectors.store.conditions import listed
from connectors.store.store_folder import READ_ERRORS, opened, read_latest
from core.errors import BadRecordError, WorldError, first_line

_LONGEST: Final = 500
"""Characters of a value."""
_YES: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def own_columns(folder: Path) -> dict[str, str]:
    """The columns of one's own that the posts of a store have, with their types as Arrow calls them."""
    return {} if not (folder / f"{POSTS}.lance").is_dir() else _reading(folder, lambda: _own(_table(folder)))


def ids_where(folder: Path, column: str, value: str) -> frozenset[str]:
    """Ids of posts whose own column has a value.

    Raises:
        BadRecordError: where there is no such column, or the value is none of its type.
        WorldError: where the store cannot be read.
    """
    own = own_columns(folder)
    if column not in own:
        there = ", ".join(own) or "none"
        raise BadRecordError(f"no column of one's own is called {column[:60]!r}; there are: {there}")
    condition = f"`{column}` = {_literal(column, value[:_LONGEST], own[column])}"

    def read() -> frozenset[str]:
        table = _table(folder)
        found = table.search().where(condition).select(["global_id"]).limit(max(1, table.count_rows())).to_arrow()
        return frozenset(found.column(0).to_pylist())

    return _reading(folder, read)  # type: ignore[no-any-return]


def _own(table: Any) -> dict[str, str]:
    return {it.name: str(it.type) for it in table.schema if is_own(it) and _is_plain(it.type)}


def _is_plain(kind: pa.DataType) -> bool:
    return bool(pa.types.is_primitive(kind) or pa.types.is_string(kind))


def _literal(column: str, value: str, kind: str) -> str:
    """A value as SQL has it; raises `BadRecordError`."""
    if kind == "string":
        return listed([value])
    if kind == "bool":
        if value.lower() not in _YES:
            raise BadRecordError(f"{column} is true or false, found {value[:40]!r}")
        return str(_YES[value.lower()])
    try:
        return str(int(value)) if kind.startswith(("int", "uint")) else repr(float(value))
    except ValueError:
        raise BadRecordError(f"{column} is a number, found {value[:40]!r}") from None


def _table(folder: Path) -> Any:
    return opened(folder).open_table(POSTS)


def _reading(folder: Path, read: Any) -> Any:
    try:
        return read_latest(read)
    except READ_ERRORS as error:
        raise WorldError(f"{folder} cannot be read: {first_line(error)}") from None
