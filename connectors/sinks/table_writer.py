"""Writes rows to a table in batches on a background thread, so that the flow does not wait for the disk."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Final, Protocol, cast

from connectors.sinks.sink import Mark, Row, TableCommand, TableItem, Writer
from core.records import ClusterEvent, Removal, Thumbnail
from core.telemetry import STORE_WAITING, step

_GATHER_SECONDS: Final = 1.0
"""Seconds between two writes: each takes about 10 ms, even for few rows."""
_GATHER_ROWS: Final = 512
"""A batch of this many rows is written at once."""
_MOST_ROWS: Final = 4 * _GATHER_ROWS
"""Maximum rows in the queue; beyond it `write` blocks (back-pressure), so that memory stays bounded."""


class WrittenTable(Protocol):
    """A table whose operations are idempotent. Each method raises `WorldError`.

    Only a table of posts gets the operations that apply to posts.
    """

    def upsert(self, rows: list[Row]) -> None:
        """Upsert rows by the table's key."""

    def execute(self, command: TableCommand) -> None:
        """Execute a command."""

    def apply_events(self, events: list[ClusterEvent]) -> None:
        """Apply cluster events to the rows."""
        raise AssertionError(f"no row of this table is in a cluster: {len(events)} events")

    def remove(self, removals: list[Removal]) -> None:
        """Delete rows."""
        raise AssertionError(f"no row of this table is a post's: {len(removals)} removals")

    def write_thumbnails(self, thumbnails: list[Thumbnail]) -> None:
        """Store thumbnails of posts whose rows exist or will follow."""
        raise AssertionError(f"no row of this table has an image: {len(thumbnails)} thumbnails")

    def mark(self) -> Mark:
        """Return the state for a snapshot, after everything is written."""


class TableWriter(Writer[TableItem]):
    """Collects rows for a second and writes them as a batch; a lone row is written at once.

    Bytewax calls a sink only with new rows or for a snapshot, so a thread is needed to write the last rows of a burst
    within a second. An error on the thread is raised by the next call. A snapshot waits until all rows are written.

    Args:
        table: The table, written on the thread.
        measured: Name of the step in metrics.
        gather_seconds: Seconds between two writes.
        written: Called with the rows after each write.
    """

    def __init__(
        self,
        table: WrittenTable,
        measured: str,
        gather_seconds: float = _GATHER_SECONDS,
        written: Callable[[list[Row]], None] = lambda _: None,
    ) -> None:
        self._table = table
        self._written = written
        self._measured = measured
        self._gather_seconds = gather_seconds
        self._thread = ThreadPoolExecutor(1, measured)
        self._changed = threading.Condition()
        self._items: list[TableItem] = []
        self._is_writing = False
        self._is_hurried = False
        self._failed: BaseException | None = None

    def write(self, items: list[TableItem]) -> None:
        """Queue rows and commands; raises `WorldError` if earlier ones could not be written."""
        with self._changed:
            self._items += items
            STORE_WAITING.inc(len(items))
            if not self._is_writing and self._failed is None:
                self._is_writing = True
                self._thread.submit(self._write_all)
            self._changed.notify_all()
            self._changed.wait_for(lambda: len(self._items) < _MOST_ROWS or self._failed is not None)
            self._raise_failure()

    def snapshot(self) -> Mark:
        """Wait until all is written, or raise `WorldError`; after a crash later items are processed again."""
        with self._changed:
            self._is_hurried = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._is_writing)
            self._is_hurried = False
            self._raise_failure()
            return self._table.mark()

    def close(self) -> None:
        """End the thread; after the last snapshot its queue is empty."""
        with self._changed:
            self._is_hurried = True
            self._changed.notify_all()
        self._thread.shutdown()

    def _write_all(self) -> None:
        try:
            while items := self._take():
                with step(self._measured, len(items)):
                    self._do(items)
                STORE_WAITING.dec(len(items))
                with self._changed:
                    self._changed.wait_for(self._is_due, self._gather_seconds)
        except BaseException as error:
            with self._changed:
                self._failed = error
                self._is_writing = False
                self._changed.notify_all()

    def _do(self, items: list[TableItem]) -> None:
        for kind, group in groupby(items, type):
            if kind is TableCommand:
                for command in group:
                    self._table.execute(cast("TableCommand", command))
            elif kind is ClusterEvent:
                self._table.apply_events(cast("list[ClusterEvent]", list(group)))
            elif kind is Removal:
                self._table.remove(cast("list[Removal]", list(group)))
            elif kind is Thumbnail:
                self._table.write_thumbnails(cast("list[Thumbnail]", list(group)))
            else:
                rows = cast("list[Row]", list(group))
                self._table.upsert(rows)
                self._written(rows)

    def _take(self) -> list[TableItem]:
        with self._changed:
            items, self._items = self._items, []
            self._is_writing = bool(items)  # the next row starts the thread's loop again
            self._changed.notify_all()
            return items

    def _is_due(self) -> bool:
        return self._is_hurried or len(self._items) >= _GATHER_ROWS

    def _raise_failure(self) -> None:
        if self._failed is not None:
            raise self._failed
