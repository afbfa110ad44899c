"""Writes rows into a table on a thread of its own, gathered, so that nobody waits for the disk."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Final, Protocol, cast

from connectors.sinks.sink import Mark, Order, Row, TableItem, Writer
from core.records import ClusterEvent, Removal, Thumbnail
from core.telemetry import STORE_WAITING, step

_GATHER_SECONDS: Final = 1.0
"""Between two writes: each takes some ten milliseconds, however few its rows are."""
_GATHER_ROWS: Final = 512
"""So many do not wait for more."""
_MOST_ROWS: Final = 4 * _GATHER_ROWS
"""So many wait for the disk at most; who brings more waits too, so that memory stays bounded."""


class WrittenTable(Protocol):
    """A table; whatever is done twice to it is as if it were done once. Each method raises `WorldError`.

    What is of posts alone no other table is asked for.
    """

    def upsert(self, rows: list[Row]) -> None:
        """Write rows."""

    def obey(self, order: Order) -> None:
        """Do what an order says."""

    def rename(self, events: list[ClusterEvent]) -> None:
        """Take in what became of clusters."""
        raise AssertionError(f"no row of this table is in a cluster: {len(events)} events")

    def remove(self, removals: list[Removal]) -> None:
        """Take out what was taken back."""
        raise AssertionError(f"no row of this table is a post's: {len(removals)} removals")

    def show(self, thumbnails: list[Thumbnail]) -> None:
        """Keep images of posts whose rows are there or come."""
        raise AssertionError(f"no row of this table has an image: {len(thumbnails)} thumbnails")

    def mark(self) -> Mark:
        """What a snapshot keeps, once all is written."""


class TableWriter(Writer[TableItem]):
    """Gathers rows for a second and writes them together; a lone row is written at once.

    A sink hears of time only by the next rows, or the next snapshot. A thread also finds the last rows of a burst
    within a second. What fails there is raised with the next call, and a snapshot waits until all is written.

    Args:
        table: Written on that thread.
        measured: Name of the step in the metrics.
        gather_seconds: Between two writes.
        written: Told of rows that are written.
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
        """Take rows and orders in; raises `WorldError` where earlier ones could not be written."""
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
        """Wait until all is written, or raise `WorldError`; after a crash what came later comes again."""
        with self._changed:
            self._is_hurried = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._is_writing)
            self._is_hurried = False
            self._raise_failure()
            return self._table.mark()

    def close(self) -> None:
        """End the thread; after the last snapshot nothing is left to write."""
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
            if kind is Order:
                for order in group:
                    self._table.obey(cast("Order", order))
            elif kind is ClusterEvent:
                self._table.rename(cast("list[ClusterEvent]", list(group)))
            elif kind is Removal:
                self._table.remove(cast("list[Removal]", list(group)))
            elif kind is Thumbnail:
                self._table.show(cast("list[Thumbnail]", list(group)))
            else:
                rows = cast("list[Row]", list(group))
                self._table.upsert(rows)
                self._written(rows)

    def _take(self) -> list[TableItem]:
        with self._changed:
            items, self._items = self._items, []
            self._is_writing = bool(items)  # the next row begins anew
            self._changed.notify_all()
            return items

    def _is_due(self) -> bool:
        return self._is_hurried or len(self._items) >= _GATHER_ROWS

    def _raise_failure(self) -> None:
        if self._failed is not None:
            raise self._failed
