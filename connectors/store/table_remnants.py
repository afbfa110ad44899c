"""Search for remnants of deleted posts in the tables of a store: in rows, older versions and files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from connectors.remnants import LookedFor, Remnant
from connectors.store.interface import Tables
from connectors.store.lance_tables import LanceTables
from connectors.store.store_folder import READ_ERRORS
from connectors.store.thumbnails import unused_in
from core.endings import plural

COMPACTED: Final = "until tables are compacted: `memewax store compact`"
_ENDING: Final = ".lance"


def in_tables(store: Path, names: LookedFor) -> Iterator[Remnant]:
    """Yield where all tables of a store hold given names: rows, older versions and the bytes of files."""
    folders = sorted(store.glob(f"*{_ENDING}"))
    tables = LanceTables.at(store)
    for folder in folders:
        name = folder.name.removesuffix(_ENDING)
        table = tables.opened(name)
        has_rows = _has(table, names)
        if has_rows:
            yield _in_row(name)
        versions = [it["version"] for it in table.list_versions()]
        if any(_has_version(table, it, names) for it in versions[:-1]):
            yield Remnant(f"table {name}", "an older version has a row of it", COMPACTED)
        elif not has_rows and any(names.in_file(it) for it in _files(folder)):
            yield Remnant(f"table {name}", "its files hold deleted rows", COMPACTED)
    if folders and (unused := len(unused_in(tables))):
        yield Remnant("table thumbnails", plural(unused, "unused thumbnail"), COMPACTED)


def in_rows(tables: Tables, names: LookedFor) -> Iterator[Remnant]:
    """Yield where rows of all tables of any store hold given names; older versions and files are not searched."""
    for name in tables.names():
        table = tables.table(name)
        columns = [it.name for it in table.schema if _may_hold_text(it.type)]
        if any(_has_column(column, names) for batch in table.batches(columns) for column in batch.columns):
            yield _in_row(name)


def _in_row(table: str) -> Remnant:
    return Remnant(f"table {table}", "a row has it", "until it is deleted: `memewax forget`")


def _has_version(table: Any, version: int, names: LookedFor) -> bool:
    try:
        table.checkout(version)
        return _has(table, names)
    except READ_ERRORS:  # a compaction dropped the version meanwhile
        return False
    finally:
        table.checkout_latest()


def _has(table: Any, names: LookedFor) -> bool:
    columns = [it.name for it in table.schema if _may_hold_text(it.type)]
    batches = table.search().select(columns).to_batches() if columns else ()
    return any(_has_column(column, names) for batch in batches for column in batch.columns)


def _has_column(column: pa.Array, names: LookedFor) -> bool:
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return names.in_value(column.to_pylist())
    return any(
        names.in_value(column.filter(pc.match_substring(column, it).fill_null(False)).to_pylist())
        for it in names.wanted
    )


def _may_hold_text(of: pa.DataType) -> bool:
    if pa.types.is_struct(of):
        return any(_may_hold_text(it.type) for it in of)
    if pa.types.is_list(of) or pa.types.is_large_list(of):
        return _may_hold_text(of.value_type)
    return bool(pa.types.is_string(of) or pa.types.is_large_string(of))


def _files(folder: Path) -> list[Path]:
    return [it for it in folder.rglob("*") if it.is_file()]
