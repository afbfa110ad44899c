"""The writers of a table as a flow has them: rows are dealt to parts by their keys, all else goes to every part."""

from collections.abc import Sequence
from typing import Any
from zlib import crc32

from connectors.sinks.sink import Mark, Row, TableCommand
from connectors.sinks.table_writer import WrittenTable
from connectors.store.interface import Store
from core.columns import Table
from core.records import ClusterEvent, Removal, Thumbnail


class Dealt:
    """All parts as one."""

    def __init__(self, store: Store, table: Table, marks: Sequence[Mark] | None = None) -> None:
        count = len(store.part_names(table.name))
        self.key = table.key
        self.parts: list[WrittenTable] = [
            store.open_for_writing(table, mark, part, 30.0) for part, mark in enumerate(marks or [None] * count)
        ]

    def upsert(self, rows: list[Row]) -> None:
        for number, part in enumerate(self.parts):
            if own := [row for row in rows if crc32(str(row[self.key]).encode()) % len(self.parts) == number]:
                part.upsert(own)

    def execute(self, command: TableCommand) -> None:
        for part in self.parts:
            part.execute(command)

    def apply_events(self, events: list[ClusterEvent]) -> None:
        for part in self.parts:
            part.apply_events(events)

    def remove(self, removals: list[Removal]) -> None:
        for part in self.parts:
            part.remove(removals)

    def write_thumbnails(self, thumbnails: list[Thumbnail]) -> None:
        self.parts[0].write_thumbnails(thumbnails)

    def mark(self) -> Any:
        return [part.mark() for part in self.parts]
