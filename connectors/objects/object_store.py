"""A store on object storage: each writer of posts has tables of its own, and commits never overwrite each other."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final

from connectors.control.request_kinds import COMPACT
from connectors.objects.bucket_maintenance import (
    check_there_in_bucket,
    compact_bucket,
    facts_of_bucket,
    forget_in_bucket,
    in_bucket,
    named_in_bucket,
)
from connectors.objects.bucket_removals import BucketRemovals
from connectors.objects.conditional_writes import check_conditional
from connectors.objects.object_tables import ObjectPlace, ObjectTables
from connectors.remnants import LookedFor, Remnant
from connectors.sinks.record_table import POSTS
from connectors.sinks.sink import Mark, Order, Row
from connectors.sinks.table_writer import WrittenTable
from connectors.store.interface import Store, TableFacts
from connectors.store.lance_store import refuse_options, written_in
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

    def create(
        self, tables: Sequence[Table], *, copies: int | None = None, has_vector_indexes: bool | None = None
    ) -> str:
        """Make the tables of each writer."""
        refuse_options(self, copies, has_vector_indexes)
        self.check()
        for table in tables:
            for part, _ in enumerate(self.part_names(table.name)):
                self.written(table, None, part, math.inf)
        return f"has {' and '.join(f'the table {it.name}' for it in tables)}"

    def check_there(self) -> None:
        """A path in a bucket that has a table is a store."""
        check_there_in_bucket(self)

    def facts(self) -> Sequence[TableFacts]:
        """With how many writers have it."""
        return facts_of_bucket(self)

    def alone(self) -> AbstractContextManager[object]:
        """Nothing locks a bucket: what is done twice is as if it were done once, and no commit overwrites another."""
        return nullcontext()

    def compact(self) -> str:
        """The tables of all writers."""
        return compact_bucket(self._of_writers())

    def named(self, removals: Sequence[Removal]) -> list[str]:
        """In the tables of all writers."""
        return named_in_bucket(self._of_writers(), removals)

    def forget(self, removals: Sequence[Removal]) -> str:
        """From the tables of all writers; those that write now are told."""
        BucketRemovals(self._place, self.state).publish(removals)
        return forget_in_bucket(self._of_writers(), removals)

    def remnants(self, names: LookedFor) -> Iterator[Remnant]:
        """In rows; whether older versions and files may hold any is said, and not looked at."""
        return in_bucket(self, self._of_writers(), names)

    def _of_writers(self) -> list[ObjectTables]:
        return [ObjectTables(self._place, self.state, it) for it in self.writers_of(POSTS) or [0]]

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

        def ours() -> list[int]:
            there = self.writers_of(table.name)
            return [part, *(it for it in there if it >= count and it % count == part)]

        if table.name not in _DEALT:
            return _WriterTables(opened, ours)
        return _WriterTables(opened, ours, BucketRemovals(self._place, self.state, memory_days))


class _WriterTables(WrittenTable):
    """Tables that one writer keeps right; new rows go to the first.

    Args:
        opened: Opens the table of a number.
        ours: Gives the numbers of those that there are, the first of them the writer's own.
        removals: What all who write the bucket delete; None: nothing is ever deleted from such tables.
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
            removals.look()

    def upsert(self, rows: list[Row]) -> None:
        """Write rows; what an older table has of them is older, and readers leave it out.

        What another flow deleted is left out, and goes again where it was deleted at the same time.
        """
        self._take_out(rows)
        self._first.upsert(rows)
        if self._removals is not None and self._removals.look():
            self._take_out(rows)

    def _take_out(self, rows: list[Row]) -> None:
        if self._removals is not None and (gone := self._removals.gone(rows)):
            self._first.remove(gone)

    def _open(self) -> None:
        """Open those that are new, such as those of another flow with more writers."""
        for number in self._ours():
            if number not in self._tables:
                self._tables[number] = self._opened(number)

    def obey(self, order: Order) -> None:
        """Do what an order says, with all."""
        if self._removals is not None and order.kind == COMPACT.name:
            self._removals.compact()
        for it in self._tables.values():
            it.obey(order)

    def rename(self, events: list[ClusterEvent]) -> None:
        """Take in what became of clusters, in all."""
        for it in self._tables.values():
            it.rename(events)

    def remove(self, removals: list[Removal]) -> None:
        """Take out what was taken back, from all; first every other flow that writes the bucket is told."""
        if self._removals is not None:
            self._removals.publish(removals)
            self._open()
        for it in self._tables.values():
            it.remove(removals)

    def show(self, thumbnails: list[Thumbnail]) -> None:
        """Keep images of posts."""
        self._first.show(thumbnails)

    def mark(self) -> Mark:
        """That of each."""
        return {"version": 1, "tables": {str(number): it.mark() for number, it in self._tables.items()}}
