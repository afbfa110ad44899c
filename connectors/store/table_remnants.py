"""Search for remnants of deleted posts in the tables of a store: in rows, older versions and files."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from connectors.remnants import LookedFor, Remnant
from connectors.store.interface import Tables
from connectors.store.lance_files import UnknownFormatError, opened_file
from connectors.store.lance_tables import DRAFT, LanceTables
from connectors.store.store_folder import READ_ERRORS
from connectors.store.thumbnails import unused_in
from core.endings import plural
from core.errors import first_line

COMPACTED: Final = "until tables are compacted: `memewax store compact`"
_ENDING: Final = ".lance"
_WRITTEN_SECONDS: Final = 60.0
"""A younger draft may still be being written."""


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
        elif not has_rows:
            yield from _in_files(name, folder, names)
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


def _in_files(table: str, folder: Path, names: LookedFor) -> Iterator[Remnant]:
    """Search the files of a table: their bytes, and the values of deleted rows and indexes, which are compressed."""
    for file in (it for it in folder.rglob("*") if it.is_file()):
        try:
            if names.in_file(file) or (_is_packed(file) and _has_unpacked(file, names)):
                yield Remnant(f"table {table}", "its files hold deleted rows", COMPACTED)
                return
        except (UnknownFormatError, *READ_ERRORS) as error:
            if file.exists():  # otherwise a compaction dropped it meanwhile
                yield Remnant(f"table {table}", f"{file.name} cannot be searched: {first_line(error)}", COMPACTED)


def _is_packed(file: Path) -> bool:
    """Check whether a file has columns: one of LanceDB, or one that a killed process left unfinished."""
    is_draft = file.name.startswith(DRAFT) and time.time() - file.stat().st_mtime > _WRITTEN_SECONDS
    return is_draft or file.suffix == _ENDING


def _has_unpacked(file: Path, names: LookedFor) -> bool:
    with opened_file(file) as table:
        return table is not None and _has(table, names)


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
