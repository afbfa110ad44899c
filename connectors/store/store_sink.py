"""Bytewax sink that writes rows into a table of any store."""

import math
from datetime import datetime
from pathlib import Path
from typing import Final

from connectors.part_names import is_moved
from connectors.sinks.record_table import INGESTION_COLUMN, POSTS
from connectors.sinks.sink import Mark, Row, Sink, TableItem, Writer
from connectors.sinks.table_writer import TableWriter
from connectors.store.interface import Store
from core.columns import Table
from core.telemetry import observe_ages, sink_name

_INGESTED: Final = INGESTION_COLUMN.column.name
_REMOTE: Final = "://"


class StoreSink(Sink[TableItem]):
    """A sink that upserts rows into a table, with one partition per writer of the store.

    Args:
        store: Store of the table.
        table: Declaration of the table.
        measured: Name of the step in the metrics.
        memory_days: Days for which deletes are remembered.
    """

    def __init__(self, store: Store, table: Table, measured: str, memory_days: float = math.inf) -> None:
        self._store = store
        self._table = table
        self._measured = measured
        self._memory_days = memory_days

    def check(self) -> None:
        """Open the table once, to raise `WorldError` before the flow reads its sources."""
        self._store.check()
        for number, _ in enumerate(self.parts()):
            self._store.open_for_writing(self._table, None, number, self._memory_days)

    def parts(self) -> list[str]:
        """Return the names of the table's writers."""
        return self._store.part_names(self._table.name)

    def was_called(self, name: str, part: str, mark: Mark) -> bool:  # noqa: ARG002
        """Check whether a part is the same local store after its folder was moved."""
        if _REMOTE in name or _REMOTE in part:
            return False
        return is_moved(Path(name), Path(part)) or is_moved(Path(name).parent, Path(part).parent)

    def open(self, part: str, mark: Mark) -> Writer[TableItem]:
        """Open the table. Upserts are idempotent: rows written after the snapshot are simply written again."""
        table = self._store.open_for_writing(self._table, mark, self.parts().index(part), self._memory_days)
        return TableWriter(table, self._measured, written=self._note_written)

    def _note_written(self, rows: list[Row]) -> None:
        """Record in the metrics how long written posts took since their ingestion."""
        if self._table.name == POSTS:
            times = [row[_INGESTED] for row in rows]
            is_remote = _REMOTE in self._store.address
            sink = sink_name(self._store.address if is_remote else str(self._store.state))
            observe_ages(sink, [datetime.fromisoformat(it) for it in times if it is not None])
