"""A table of a store, as a part of memewax declares it."""

from pathlib import Path
from typing import Any

import orjson

from connectors.control.request_kinds import COMPACT
from connectors.sinks.sink import Mark, Order, Row
from connectors.sinks.table_writer import WrittenTable
from connectors.store.arrow_schema import arrow_schema
from connectors.store.keyed_table import KeyedTable
from connectors.store.lance_tables import LanceTables
from core.columns import AnyJson, Table


class StoredTable(WrittenTable):
    """A table of rows with a key; what is written twice is there once."""

    def __init__(self, store: Path | LanceTables, table: Table) -> None:
        """Open or create it; raises `WorldError` where it cannot be, or holds columns of other types."""
        self._json = [column.name for column in table.columns if isinstance(column.type, AnyJson)]
        self._table = KeyedTable(store, table.name, table.key, arrow_schema(table), table.newest, table.looked_up)

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
