"""A LanceDB store in a local folder."""

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from connectors.part_names import part_name
from connectors.remnants import LookedFor, Remnant
from connectors.sinks.record_table import POSTS
from connectors.sinks.sink import Mark
from connectors.store.answer_rows import AnswerRows
from connectors.store.interface import Store, TableFacts, UnsupportedError
from connectors.store.lance_tables import LanceTables
from connectors.store.posts_table import PostRows
from connectors.store.quoting_answers import QUOTING
from connectors.store.store_maintenance import check_there_in, compact_store, facts_of, forget_in, matching_ids_in
from connectors.store.stored_table import StoredTable
from connectors.store.table_remnants import in_tables
from connectors.writer_locks import RECORDS, all_locked
from core.columns import Table
from core.records import Removal

_NAMED_BY_FOLDER: Final = ("posts", "clusters")
"""Tables whose parts recovery folders name by the store's folder alone."""


class LanceStore(LanceTables, Store):
    """A LanceDB store in a local folder, with a single writer."""

    has_lock = True

    @property
    def folder(self) -> Path:
        """Return the store's folder."""
        return self.state

    def create(
        self, tables: Sequence[Table], *, copies: int | None = None, has_vector_indexes: bool | None = None
    ) -> str:
        """Create the tables, holding the writer's lock."""
        refuse_options(self, copies, has_vector_indexes)
        with all_locked(self._locks()):
            made = [(it.name, open_in(self, it, None, math.inf).count()) for it in tables]
        return f"has {' and '.join(f'the table {name} of {rows:,} rows' for name, rows in made)}"

    def check_there(self) -> None:
        """Raise `WorldError` if the folder has no table that flows write."""
        check_there_in(self)

    def facts(self) -> Sequence[TableFacts]:
        """Return statistics of each table, with its files, versions and fragments."""
        return facts_of(self.state)

    def write_lock(self) -> AbstractContextManager[object]:
        """Return the writer's lock; raises `BusyError` at once if a flow holds it."""
        return all_locked(self._locks(), wait=0)

    def compact(self) -> str:
        """Compact all tables that `memewax run` writes, erasing deleted rows."""
        return compact_store(self.state)

    def matching_ids(self, removals: Sequence[Removal]) -> list[str]:
        """Return the ids of the posts that removals refer to, including hidden ones."""
        return matching_ids_in(self, removals)

    def forget(self, removals: Sequence[Removal]) -> str:
        """Delete posts from all tables that `memewax run` writes, and the answers that quote them."""
        return forget_in(self, removals)

    def remnants(self, names: LookedFor) -> Iterator[Remnant]:
        """Yield remnants in rows, older versions and the bytes of all files."""
        return in_tables(self.state, names)

    def _locks(self) -> dict[Path, str]:
        busy = f"{self} is being written by another run: wait until it ends, or choose another store"
        return {self.state / f"{RECORDS}.lock": busy}

    def check(self) -> None:
        """Do nothing: opening the tables already detects all that could be wrong."""

    def open_for_writing(self, table: Table, mark: Mark, part: int, memory_days: float) -> StoredTable:  # noqa: ARG002
        """Open a table for writing; raises `WorldError`."""
        return open_in(self, table, mark, memory_days)

    def part_names(self, table: str) -> list[str]:
        """Return the table's single part."""
        folder = self.state.resolve()
        return [part_name(folder if table in _NAMED_BY_FOLDER else folder / table)]


def refuse_options(store: Store, copies: int | None, has_vector_indexes: bool | None) -> None:
    """Raise `UnsupportedError` for the options `copies` and `has_vector_indexes`, which LanceDB stores lack."""
    if copies is not None:
        raise UnsupportedError(f"{store} keeps no copies of rows: --copies is for Cassandra")
    if has_vector_indexes:
        raise UnsupportedError(f"{store} keeps no index over vectors: --vector-index is for Cassandra")


def open_in(tables: LanceTables, table: Table, mark: Mark, memory_days: float) -> StoredTable:
    """Open a table of a store for writing, with the class that fits its name; raises `WorldError`."""
    if table.name == POSTS:
        return PostRows(tables, table, mark, memory_days)
    return AnswerRows(tables, table) if table.name == QUOTING else StoredTable(tables, table)


def folder_store(folder: Path) -> LanceStore:
    """Return the store in a folder. It keeps the absolute path, so that a later change of directory has no effect."""
    store = LanceStore(folder.resolve())
    store.address = str(folder)
    return store
