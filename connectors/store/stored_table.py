"""Writer of a declared table into a LanceDB store."""

from pathlib import Path
from typing import Any

import orjson

from connectors.control.request_kinds import COMPACT
from connectors.sinks.sink import Mark, Row, TableCommand
from connectors.sinks.table_writer import WrittenTable
from connectors.store.arrow_schema import arrow_schema
from connectors.store.keyed_table import KeyedTable
from connectors.store.lance_tables import LanceTables
from core.columns import AnyJson, Table


class StoredTable(WrittenTable):
    """A table of rows with a key, written by idempotent upserts."""

    def __init__(self, store: Path | LanceTables, table: Table) -> None:
        """Open or create the table; raises `WorldError` if it cannot, or if a column has another type."""
        self._json = [column.name for column in table.columns if isinstance(column.type, AnyJson)]
        self._table = KeyedTable(store, table.name, table.key, arrow_schema(table), table.newest, table.looked_up)

    def upsert(self, rows: list[Row]) -> None:
        """Upsert rows; of several with one key the newest wins. Raises `WorldError`."""
        self._table.upsert([self._as_stored(row) for row in rows])

    def _as_stored(self, row: Row) -> Row:
        return {**row, **{name: orjson.dumps(row[name]).decode() for name in self._json}}

    def execute(self, command: TableCommand) -> None:
        """Carry out a maintenance command of the flow, a compaction; raises `WorldError`."""
        if command.kind == COMPACT.name:
            self.compact(erase=True)
        else:
            raise AssertionError(f"no table can {command.kind}")

    def mark(self) -> Mark:
        """Return a snapshot of what the writer needs to resume."""
        return {"version": 1}

    def compact(self, *, erase: bool = False) -> None:
        """Compact fragments, drop old versions and update indexes; raises `WorldError`.

        With `erase`, no file holds deleted rows afterwards.
        """
        self._table.erase() if erase else self._table.compact()

    def count(self) -> int:
        """Return the number of rows."""
        return self._table.count()

    def rows(self) -> list[dict[str, Any]]:
        """Return all rows with all columns; for reports over small tables."""
        return [{**row, **{name: orjson.loads(row[name]) for name in self._json}} for row in self._table.rows()]
