"""The sink of answers into a table of the store, which keeps nobody waiting."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from connectors.endpoints import part_name
from connectors.store.keyed_table import KeyedTable
from core.telemetry import step

Row = dict[str, Any]

_GATHER_SECONDS: Final = 1.0
"""Between two writes: each takes some ten milliseconds, however few its rows are."""


class AnswerTable(FixedPartitionedSink[Row, dict[str, Any]]):
    """Upserts the values of `(key, row)` by their `id`; one worker writes, so that writers never conflict."""

    def __init__(self, store: Path, name: str, schema: pa.Schema) -> None:
        self._store = store.resolve()
        self._name = name
        self._schema = schema

    def check(self) -> None:
        """Open the table once, to raise `WorldError` before anything is read."""
        self._open()

    def list_parts(self) -> list[str]:
        """The table, as the one part."""
        return [part_name(self._store / self._name)]

    def build_part(self, step_id: str, for_part: str, resume_state: dict[str, Any] | None) -> "AnswerPart":  # noqa: ARG002
        """Open the table; what was written after the snapshot is simply written again."""
        return AnswerPart(self._open().upsert)

    def _open(self) -> KeyedTable:
        return KeyedTable(self._store, self._name, "id", self._schema)


class AnswerPart(StatefulSinkPartition[Row, dict[str, Any]]):
    """Writes in a thread of its own, so that who asks next does not wait for the disk; a snapshot waits for it."""

    def __init__(self, write: Callable[[list[Row]], None], gather_seconds: float = _GATHER_SECONDS) -> None:
        self._write = write
        self._gather_seconds = gather_seconds
        self._thread = ThreadPoolExecutor(1, "answers")
        self._lock = threading.Lock()
        self._rows: list[Row] = []
        self._writing: Future[None] | None = None
        self._hurry = threading.Event()

    def write_batch(self, values: list[Row]) -> None:
        """Take rows in; raises `WorldError` where earlier ones could not be written."""
        with self._lock:
            self._rows += values
            done = self._writing
            if done is None:
                self._writing = self._thread.submit(self._write_all)
        if done is not None and done.done():
            done.result()

    def snapshot(self) -> dict[str, Any]:
        """Wait until all is written, or raise `WorldError`; after a crash what came later comes again."""
        self._hurry.set()
        if (writing := self._writing) is not None:
            writing.result()
        self._hurry.clear()
        return {"version": 1}

    def close(self) -> None:
        """End the thread; after the last snapshot nothing is left to write."""
        self._hurry.set()
        self._thread.shutdown()

    def _write_all(self) -> None:
        while rows := self._take():
            with step("answers", len(rows)):
                self._write(rows)
            self._hurry.wait(self._gather_seconds)

    def _take(self) -> list[Row]:
        with self._lock:
            rows, self._rows = self._rows, []
            if not rows:
                self._writing = None  # the next row begins anew
            return rows
