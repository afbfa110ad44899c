"""A store on object storage: each writer of posts has its own tables, and commits are conditional writes."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final

from connectors.control.request_kinds import COMPACT
from connectors.objects.bucket_maintenance import (
    compact_bucket,
    facts_of_bucket,
    forget_in_bucket,
    in_bucket,
    matching_ids_in_bucket,
    tables_in_bucket,
)
from connectors.objects.bucket_removals import BucketRemovals
from connectors.objects.conditional_writes import check_conditional
from connectors.objects.object_tables import ObjectPlace, ObjectTables
from connectors.remnants import LookedFor, Remnant
from connectors.sinks.record_table import POSTS
from connectors.sinks.sink import Mark, Row, TableCommand
from connectors.sinks.table_writer import WrittenTable
from connectors.store.interface import Store, TableFacts
from connectors.store.lance_store import open_in, refuse_options
from connectors.store.stored_table import StoredTable
from core.columns import Table
from core.records import ClusterEvent, Removal, Thumbnail

_PARTITIONED: Final = frozenset({POSTS})
"""Tables of which each writer has its own; of the others there is one."""


class ObjectStore(ObjectTables, Store):
    """A store in a bucket.

    Args:
        place: Address of the tables.
        state: Local folder of what is not in tables.
        writers: Number of writers of posts.
    """

    def __init__(self, place: ObjectPlace, state: Path, writers: int = 1) -> None:
        super().__init__(place, state)
        self._writers = writers

    def check(self) -> None:
        """Raise `WorldError` if the bucket cannot be written, or the server lacks conditional writes."""
        check_conditional(self._place)

    def create(
        self, tables: Sequence[Table], *, copies: int | None = None, has_vector_indexes: bool | None = None
    ) -> str:
        """Create the tables of each writer."""
        refuse_options(self, copies, has_vector_indexes)
        self.check()
        for table in tables:
            for part, _ in enumerate(self.part_names(table.name)):
                self.open_for_writing(table, None, part, math.inf)
        return f"has {' and '.join(f'the table {it.name}' for it in tables)}"

    def check_there(self) -> None:
        """Raise `WorldError` if there is no table at the path in the bucket."""
        tables_in_bucket(self)

    def facts(self) -> Sequence[TableFacts]:
        """Return statistics of each table, with its number of writers."""
        return facts_of_bucket(self)

    def write_lock(self) -> AbstractContextManager[object]:
        """Return a no-op: a bucket needs no lock, since operations are idempotent and commits conditional."""
        return nullcontext()

    def compact(self) -> str:
        """Compact the tables of all writers."""
        return compact_bucket(self._tables_of_writers())

    def matching_ids(self, removals: Sequence[Removal]) -> list[str]:
        """Return the ids of the posts that removals refer to in the tables of all writers."""
        return matching_ids_in_bucket(self._tables_of_writers(), removals)

    def forget(self, removals: Sequence[Removal]) -> str:
        """Delete posts from the tables of all writers, after publishing tombstones to running flows."""
        BucketRemovals(self._place, self.state).publish(removals)
        return forget_in_bucket(self._tables_of_writers(), removals)

    def remnants(self, names: LookedFor) -> Iterator[Remnant]:
        """Yield remnants in rows; older versions and files are reported without being searched."""
        return in_bucket(self, self._tables_of_writers(), names)

    def _tables_of_writers(self) -> list[ObjectTables]:
        return [ObjectTables(self._place, self.state, it) for it in self.writers_of(POSTS) or [0]]

    def part_names(self, table: str) -> list[str]:
        """Return one part per writer."""
        return [f"{self.address}/{table}.{number}" for number in range(self._writers if table in _PARTITIONED else 1)]

    def open_for_writing(self, table: Table, mark: Mark, part: int, memory_days: float) -> WrittenTable:
        """Open the table of one writer, and its share of tables of an earlier run that had more writers."""
        marks = (mark or {}).get("tables", {})

        def opened(number: int) -> StoredTable:
            own = ObjectTables(self._place, self.state, number)
            return open_in(own, table, marks.get(str(number)), memory_days)

        count = len(self.part_names(table.name))

        def ours() -> list[int]:
            there = self.writers_of(table.name)
            return [part, *(it for it in there if it >= count and it % count == part)]

        if table.name not in _PARTITIONED:
            return _WriterTables(opened, ours)
        return _WriterTables(opened, ours, BucketRemovals(self._place, self.state, memory_days))


class _WriterTables(WrittenTable):
    """The tables that one writer maintains; new rows go to the first one.

    Args:
        opened: Opens the table of a writer by its number.
        ours: Returns the numbers of the existing tables to maintain, the writer's own first.
        removals: Tombstones shared by all writers of the bucket; None if rows of this table are never deleted.
    """

    def __init__(
        self,
        opened: Callable[[int], StoredTable],
        ours: Callable[[], list[int]],
        removals: BucketRemovals | None = None,
    ) -> None:
        self._opened, self._ours = opened, ours
        self._removals = removals
        self._tables: dict[int, StoredTable] = {}
        self._open()
        self._first = next(iter(self._tables.values()))
        if removals is not None:
            removals.refresh()

    def upsert(self, rows: list[Row]) -> None:
        """Upsert rows; older tables may have older revisions, which readers skip.

        Rows of posts that another flow deleted are dropped, or deleted afterwards if that happened during the write.
        """
        self._delete_removed(rows)
        self._first.upsert(rows)
        if self._removals is not None and self._removals.refresh():
            self._delete_removed(rows)

    def _delete_removed(self, rows: list[Row]) -> None:
        if self._removals is not None and (gone := self._removals.gone(rows)):
            self._first.remove(gone)

    def _open(self) -> None:
        """Open tables created since, such as those of another flow with more writers."""
        for number in self._ours():
            if number not in self._tables:
                self._tables[number] = self._opened(number)

    def execute(self, command: TableCommand) -> None:
        """Carry out a maintenance command on all tables."""
        if self._removals is not None and command.kind == COMPACT.name:
            self._removals.compact()
        for it in self._tables.values():
            it.execute(command)

    def apply_events(self, events: list[ClusterEvent]) -> None:
        """Apply merges and splits of clusters to all tables."""
        for it in self._tables.values():
            it.apply_events(events)

    def remove(self, removals: list[Removal]) -> None:
        """Delete, hide or restore posts in all tables, after publishing tombstones to other flows."""
        if self._removals is not None:
            self._removals.publish(removals)
            self._open()
        for it in self._tables.values():
            it.remove(removals)

    def write_thumbnails(self, thumbnails: list[Thumbnail]) -> None:
        """Write thumbnails of posts."""
        self._first.write_thumbnails(thumbnails)

    def mark(self) -> Mark:
        """Return the snapshots of all tables."""
        return {"version": 1, "tables": {str(number): it.mark() for number, it in self._tables.items()}}
