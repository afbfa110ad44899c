"""Writes rows into a table of any store."""

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
_ELSEWHERE: Final = "://"


class StoreSink(Sink[TableItem]):
    """Upserts rows of a table, in as many parts as its store has writers.

    Args:
        store: That has the table.
        table: As it should be.
        measured: Name of the step in the metrics.
        memory_days: For so long a delete is remembered.
    """

    def __init__(self, store: Store, table: Table, measured: str, memory_days: float = math.inf) -> None:
        self._store = store
        self._table = table
        self._measured = measured
        self._memory_days = memory_days

    def check(self) -> None:
        """Open the table once, to raise `WorldError` before anything is read."""
        self._store.check()
        for number, _ in enumerate(self.parts()):
            self._store.written(self._table, None, number, self._memory_days)

    def parts(self) -> list[str]:
        """The writers of the table."""
        return self._store.part_names(self._table.name)

    def was(self, name: str, part: str, mark: Mark) -> bool:  # noqa: ARG002
        """Whether a store on this machine was moved here."""
        if _ELSEWHERE in name or _ELSEWHERE in part:
            return False
        return is_moved(Path(name), Path(part)) or is_moved(Path(name).parent, Path(part).parent)

    def open(self, part: str, mark: Mark) -> Writer[TableItem]:
        """Open the table; what was written after the snapshot is simply written again."""
        table = self._store.written(self._table, mark, self.parts().index(part), self._memory_days)
        return TableWriter(table, self._measured, written=self._note_written)

    def _note_written(self, rows: list[Row]) -> None:
        """Tell the metrics of posts that are there now."""
        if self._table.name == POSTS:
            times = [row[_INGESTED] for row in rows]
            is_elsewhere = _ELSEWHERE in self._store.address
            called = sink_name(self._store.address if is_elsewhere else str(self._store.state))
            observe_ages(called, [datetime.fromisoformat(it) for it in times if it is not None])
