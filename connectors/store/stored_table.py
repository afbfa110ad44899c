"""A table of a store, as a part of memewax declares it."""

from pathlib import Path
from typing import Any

import orjson

from connectors.control.request_kinds import COMPACT
from connectors.part_names import is_moved, part_name
from connectors.sinks.sink import Mark, Order, Row, Sink, TableItem, Writer
from connectors.sinks.table_writer import TableWriter
from connectors.store.arrow_schema import arrow_schema
from connectors.store.keyed_table import KeyedTable
from core.columns import AnyJson, Table
from core.records import ClusterEvent, Removal, Thumbnail

_NAMED_BY_FOLDER = ("posts", "clusters")
"""Recovery folders know the parts of these tables by their folder alone."""


class StoredTable:
    """A table of rows with a key; what is written twice is there once."""

    def __init__(self, folder: Path, table: Table) -> None:
        """Open or create it; raises `WorldError` where it cannot be, or holds columns of other types."""
        self._json = [column.name for column in table.columns if isinstance(column.type, AnyJson)]
        self._table = KeyedTable(folder, table.name, table.key, arrow_schema(table), table.newest, table.looked_up)

    def upsert(self, rows: list[Row]) -> None:
        """Write rows; of several with one key the newest stays. Raises `WorldError`."""
        self._table.upsert([self._as_stored(row) for row in rows])

    def _as_stored(self, row: Row) -> Row:
        return {**row, **{name: orjson.dumps(row[name]).decode() for name in self._json}}

    def obey(self, order: Order) -> None:
        """Do what the flow is asked to do with its tables; raises `WorldError`."""
        if order.kind == COMPACT.name:
            self.compact(erase=True)
        else:
            raise AssertionError(f"no table can {order.kind}")

    def rename(self, events: list[ClusterEvent]) -> None:
        """Take in what became of clusters; raises `WorldError`."""
        raise AssertionError(f"no row of this table is in a cluster: {len(events)} events")

    def remove(self, removals: list[Removal]) -> None:
        """Take out what was taken back; raises `WorldError`."""
        raise AssertionError(f"no row of this table is a post's: {len(removals)} removals")

    def show(self, thumbnails: list[Thumbnail]) -> None:
        """Keep pictures of posts; raises `WorldError`."""
        raise AssertionError(f"no row of this table has a picture: {len(thumbnails)} thumbnails")

    def mark(self) -> Mark:
        """What is to be known of the rows that are there when more come after a crash."""
        return {"version": 1}

    def compact(self, *, erase: bool = False) -> None:
        """Put fragments together, drop old versions, bring indexes up to date.

        `erase`: so that no file holds what was deleted.
        """
        self._table.erase() if erase else self._table.compact()

    def count(self) -> int:
        """How many rows there are."""
        return self._table.count()

    def rows(self) -> list[dict[str, Any]]:
        """All rows, whole: for reports over small tables."""
        return [{**row, **{name: orjson.loads(row[name]) for name in self._json}} for row in self._table.rows()]


class StoreSink(Sink[TableItem]):
    """Upserts rows of a table; one worker writes, so that writers never conflict."""

    def __init__(self, folder: Path, table: Table, measured: str) -> None:
        self._folder = folder.resolve()
        self._table = table
        self._measured = measured

    def check(self) -> None:
        """Open the table once, to raise `WorldError` before anything is read."""
        self.parts()
        self._opened(None)

    def parts(self) -> list[str]:
        """The table, as the one part."""
        by_folder = self._table.name in _NAMED_BY_FOLDER
        return [part_name(self._folder if by_folder else self._folder / self._table.name)]

    def was(self, name: str, part: str, mark: Mark) -> bool:  # noqa: ARG002
        """Whether the store was moved here."""
        return is_moved(Path(name), Path(part)) or is_moved(Path(name).parent, Path(part).parent)

    def open(self, part: str, mark: Mark) -> Writer[TableItem]:  # noqa: ARG002 - there is one part
        """Open the table; what was written after the snapshot is simply written again."""
        return TableWriter(self._opened(mark), self._measured, written=self._note_written)

    def _note_written(self, rows: list[Row]) -> None:
        """Tell the metrics of rows that are there now."""

    def _opened(self, mark: Mark) -> StoredTable:  # noqa: ARG002 - rows do not depend on what was before them
        return StoredTable(self._folder, self._table)
