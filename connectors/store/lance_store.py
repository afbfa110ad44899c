"""A store of LanceDB: its tables, and what writes them."""

from pathlib import Path
from typing import Final

from connectors.part_names import part_name
from connectors.sinks.record_table import POSTS
from connectors.sinks.sink import Mark
from connectors.store.answer_rows import AnswerRows
from connectors.store.interface import Store
from connectors.store.lance_tables import LanceTables
from connectors.store.posts_table import PostRows
from connectors.store.quoted import QUOTING
from connectors.store.stored_table import StoredTable
from core.columns import Table

_NAMED_BY_FOLDER: Final = ("posts", "clusters")
"""Recovery folders know the parts of these tables by their folder alone."""


class LanceStore(LanceTables, Store):
    """A store in a folder, with one writer."""

    def check(self) -> None:
        """Nothing but its tables could be wrong, and they are looked at when they are opened."""

    def written(self, table: Table, mark: Mark, part: int, memory_days: float) -> StoredTable:  # noqa: ARG002
        """The table, open for writing."""
        return written_in(self, table, mark, memory_days)

    def part_names(self, table: str) -> list[str]:
        """The table, as the one part."""
        folder = self.state.resolve()
        return [part_name(folder if table in _NAMED_BY_FOLDER else folder / table)]


def written_in(tables: LanceTables, table: Table, mark: Mark, memory_days: float) -> StoredTable:
    """A table of a store, open for writing; raises `WorldError`."""
    if table.name == POSTS:
        return PostRows(tables, table, mark, memory_days)
    return AnswerRows(tables, table) if table.name == QUOTING else StoredTable(tables, table)


def folder_store(folder: Path) -> LanceStore:
    """The store in a folder, by its full path, so that it stays the same wherever the process goes."""
    store = LanceStore(folder.resolve())
    store.address = str(folder)
    return store
