"""Rows of a table are written behind the flow's back, gathered, and whole at each snapshot."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from connectors.sinks.sink import Mark, Row, TableCommand
from connectors.sinks.table_writer import TableWriter
from core.errors import WorldError
from core.records import ClusterEvent, Removal, Thumbnail

HOUR = 3600.0


class Plain:
    """A table of which nothing but rows is asked."""

    def upsert(self, rows: list[Row]) -> None:
        raise WorldError("no room")

    def execute(self, command: TableCommand) -> None:
        raise AssertionError(command)

    def apply_events(self, events: list[ClusterEvent]) -> None:
        raise AssertionError(events)

    def remove(self, removals: list[Removal]) -> None:
        raise AssertionError(removals)

    def write_thumbnails(self, thumbnails: list[Thumbnail]) -> None:
        raise AssertionError(thumbnails)

    def mark(self) -> Mark:
        return {"version": 1}


class Disk(Plain):
    """Takes rows when it is let to."""

    def __init__(self, *, free: bool = True) -> None:
        self.writes: list[list[Row]] = []
        self.wrote = threading.Semaphore(0)
        self.begun = threading.Event()
        self.free = threading.Event()
        if free:
            self.free.set()

    def upsert(self, rows: list[Row]) -> None:
        self.begun.set()
        assert self.free.wait(30)
        self.writes.append(rows)
        self.wrote.release()


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def writer(disk: Disk, closing: ExitStack, gather_seconds: float = HOUR) -> TableWriter:
    made = TableWriter(disk, "test", gather_seconds)
    closing.callback(made.close)
    closing.callback(disk.free.set)
    return made


def rows(*ids: object) -> list[Row]:
    return [{"id": id_} for id_ in ids]


def test_who_writes_does_not_wait_for_the_disk_but_a_snapshot_does(closing: ExitStack) -> None:
    disk = Disk(free=False)
    table = writer(disk, closing)
    table.write(rows("a"))
    assert disk.begun.wait(30)
    table.write(rows("b"))
    table.write(rows("c"))
    assert disk.writes == []
    disk.free.set()
    assert table.snapshot() == {"version": 1}
    assert disk.writes == [rows("a"), rows("b", "c")]
    table.write(rows("d"))
    table.snapshot()
    assert disk.writes[-1] == rows("d")


def test_a_lone_row_does_not_wait_and_those_of_a_burst_are_written_together(closing: ExitStack) -> None:
    disk = Disk()
    table = writer(disk, closing)
    table.write(rows("first"))
    assert disk.wrote.acquire(timeout=30)
    for number in range(10):
        table.write(rows(number))
    assert disk.writes == [rows("first")]
    table.snapshot()
    assert disk.writes == [rows("first"), rows(*range(10))]


def test_many_rows_do_not_wait(closing: ExitStack) -> None:
    disk = Disk()
    table = writer(disk, closing)
    table.write(rows("first"))
    assert disk.wrote.acquire(timeout=30)
    table.write(rows(*range(600)))
    assert disk.wrote.acquire(timeout=30)
    assert len(disk.writes[-1]) == 600


def test_the_last_rows_of_a_burst_are_written_without_another_call(closing: ExitStack) -> None:
    disk = Disk()
    table = writer(disk, closing, 0.05)
    table.write(rows("first"))
    assert disk.wrote.acquire(timeout=30)
    table.write(rows("last"))
    assert disk.wrote.acquire(timeout=30)
    assert disk.writes == [rows("first"), rows("last")]


def test_who_brings_too_many_rows_waits_for_the_disk(closing: ExitStack) -> None:
    disk = Disk(free=False)
    table = writer(disk, closing)
    table.write(rows("first"))
    assert disk.begun.wait(30)
    through = threading.Event()
    bringing = threading.Thread(target=lambda: (table.write(rows(*range(5000))), through.set()))
    bringing.start()
    assert not through.wait(0.1)
    disk.free.set()
    assert through.wait(30)
    bringing.join()


def test_a_snapshot_without_rows_does_not_wait(closing: ExitStack) -> None:
    assert writer(Disk(free=False), closing).snapshot() == {"version": 1}


def test_what_cannot_be_written_ends_the_flow(closing: ExitStack) -> None:
    table = TableWriter(Plain(), "test")
    closing.callback(table.close)
    table.write(rows("a"))
    with pytest.raises(WorldError, match="no room"):
        table.snapshot()
    for _ in range(2):
        with pytest.raises(WorldError, match="no room"):
            table.write(rows("b"))
    with pytest.raises(WorldError, match="no room"):
        table.snapshot()


def test_closing_twice_is_no_error(closing: ExitStack) -> None:
    table = writer(Disk(), closing)
    table.write(rows("a"))
    table.close()
    table.close()
