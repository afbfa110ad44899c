"""A store on object storage: each writer of posts has tables of its own, and commits never overwrite each other."""

from pathlib import Path
from typing import Final

from connectors.objects.conditional_writes import check_conditional
from connectors.objects.object_tables import ObjectPlace, ObjectTables
from connectors.sinks.record_table import POSTS
from connectors.sinks.sink import Mark, Order, Row
from connectors.sinks.table_writer import WrittenTable
from connectors.store.interface import Store
from connectors.store.lance_store import written_in
from connectors.store.stored_table import StoredTable
from core.columns import Table
from core.records import ClusterEvent, Removal, Thumbnail

_DEALT: Final = frozenset({POSTS})
"""Tables of which each writer has one; of the others there is one."""


class ObjectStore(ObjectTables, Store):
    """A store in a bucket.

    Args:
        place: Where its tables lie.
        state: Folder on this machine of what lies beside tables.
        writers: Of posts.
    """

    def __init__(self, place: ObjectPlace, state: Path, writers: int = 1) -> None:
        super().__init__(place, state)
        self._writers = writers

    def check(self) -> None:
        """Raise `WorldError` where the bucket cannot be written, or the server lets commits overwrite each other."""
        check_conditional(self._place)

    def part_names(self, table: str) -> list[str]:
        """One for each writer."""
        return [f"{self.address}/{table}.{number}" for number in range(self._writers if table in _DEALT else 1)]

    def written(self, table: Table, mark: Mark, part: int, memory_days: float) -> WrittenTable:
        """The tables of one writer, and of those of an earlier run that had more of them."""
        marks = (mark or {}).get("tables", {})

        def opened(number: int) -> StoredTable:
            own = ObjectTables(self._place, self.state, number)
            return written_in(own, table, marks.get(str(number)), memory_days)

        count = len(self.part_names(table.name))
        left = [it for it in self.writers_of(table.name) if it >= count and it % count == part]
        return _WriterTables({number: opened(number) for number in (part, *left)})


class _WriterTables(WrittenTable):
    """Tables that one writer keeps right; new rows go to the first."""

    def __init__(self, tables: dict[int, StoredTable]) -> None:
        self._tables = tables
        self._first = next(iter(tables.values()))

    def upsert(self, rows: list[Row]) -> None:
        """Write rows; what an older table has of them is older, and readers leave it out."""
        self._first.upsert(rows)

    def obey(self, order: Order) -> None:
        """Do what an order says, with all."""
        for it in self._tables.values():
            it.obey(order)

    def rename(self, events: list[ClusterEvent]) -> None:
        """Take in what became of clusters, in all."""
        for it in self._tables.values():
            it.rename(events)

    def remove(self, removals: list[Removal]) -> None:
        """Take out what was taken back, from all."""
        for it in self._tables.values():
            it.remove(removals)

    def show(self, thumbnails: list[Thumbnail]) -> None:
        """Keep pictures of posts."""
        self._first.show(thumbnails)

    def mark(self) -> Mark:
        """That of each."""
        return {"version": 1, "tables": {str(number): it.mark() for number, it in self._tables.items()}}
