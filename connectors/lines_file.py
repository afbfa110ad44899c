"""Endpoints of local files of posts: JSON Lines, read and written, and other files of rows, only read."""

from pathlib import Path
from typing import ClassVar

from connectors.endpoint import SinkOptions, SourceOptions
from connectors.local import FileSettings, LocalFile
from connectors.row_file import LINES, TABLES
from connectors.sinks.sink import MessageSink
from connectors.sources.source import PlacedSource
from connectors.unpacked_file import PACKINGS


class RowsFile(LocalFile[FileSettings]):
    """A file of rows that is only read: a table, or a compressed file."""

    reads = "a .csv, .tsv or .parquet file, or a compressed one"
    lag_unit = "bytes"
    endings: ClassVar[tuple[str, ...]] = (*TABLES, *PACKINGS)

    def source(self, options: SourceOptions, settings: FileSettings) -> PlacedSource:
        """Return a source of the file's rows."""
        from connectors.sources.post_files import PostFiles

        return PostFiles(self.path, settings.file_options(options))


class LinesFile(RowsFile):
    """A file of JSON Lines."""

    reads = "a .jsonl file"
    takes_messages = "a .jsonl file"
    endings = (*LINES, ".json")

    @property
    def stem(self) -> Path:
        """Return the path without `.jsonl`: files related to `records.jsonl` are named `records.…`."""
        return self.path.with_suffix("") if self.path.suffix == ".jsonl" else self.path

    def message_sink(self, options: SinkOptions, settings: FileSettings) -> MessageSink:
        """Return a sink that writes a line for each message."""
        from connectors.sinks.jsonl_sink import JsonlSink

        return JsonlSink(self.path, options.measured, settings.recovery)
