"""Writes rows into a table on a thread of its own, gathered, so that nobody waits for the disk."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import Final, cast

from connectors.sinks.sink import Mark, Order, Row, TableItem, Writer
from core.records import ClusterEvent, Removal
from core.telemetry import STORE_WAITING, step

_GATHER_SECONDS: Final = 1.0
"""Between two writes: each takes some ten milliseconds, however few its rows are."""
_GATHER_ROWS: Final = 512
"""So many do not wait for more."""
_MOST_ROWS: Final = 4 * _GATHER_ROWS
"""So many wait for the disk at most; who brings more waits too, so that memory stays bounded."""


class TableWriter(Writer[TableItem]):
    """Gathers rows for a second and writes them together; a lone row is written at once.

    A sink hears of time only by the next rows, or the next snapshot. A thread also finds the last rows of a burst
    within a second. What fails there is raised with the next call, and a snapshot waits until all is written.

    Args:
        upsert: Writes rows, more than once with the same result; raises `WorldError`.
        measured: Name of the step in the metrics.
        gather_seconds: Between two writes.
        obey: Does what an order says; raises `WorldError`.
        remove: Takes out what was taken back, more than once with the same result; raises `WorldError`.
        rename: Takes in what became of clusters, more than once with the same result; raises `WorldError`.
        mark: What a snapshot keeps, once all is written.
        written: Told of rows that are written.
    """

    def __init__(
        self,
        upsert: Callable[[list[Row]], None],
        measured: str,
        gather_seconds: float = _GATHER_SECONDS,
        obey: Callable[[Order], None] = lambda _: None,
        rename: Callable[[list[ClusterEvent]], None] = lambda _: None,
        remove: Callable[[list[Removal]], None] = lambda _: None,
        mark: Callable[[], Mark] = lambda: {"version": 1},
        written: Callable[[list[Row]], None] = lambda _: None,
    ) -> None:
        self._upsert = upsert
        self._obey = obey
        self._rename = rename
        self._remove = remove
        self._mark = mark
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
            return self._mark()

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
                    self._obey(cast("Order", order))
            elif kind is ClusterEvent:
                self._rename(cast("list[ClusterEvent]", list(group)))
            elif kind is Removal:
                self._remove(cast("list[Removal]", list(group)))
            else:
                rows = cast("list[Row]", list(group))
                self._upsert(rows)
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
