"""A file of JSON Lines, as an address."""

from pathlib import Path
from typing import Self

from connectors.endpoint import SinkOptions, SourceOptions
from connectors.local import FileSettings, LocalFile
from connectors.sinks.sink import MessageSink
from connectors.sources.json_lines import ENDINGS, JsonLines
from connectors.sources.source import PlacedSource


class LinesFile(LocalFile[FileSettings]):
    """A file of JSON Lines."""

    reads = "a .jsonl file"
    takes_messages = "a .jsonl file"
    lag_unit = "bytes"
    endings = (*ENDINGS, *(f"{ending}{packed}" for ending in ENDINGS for packed in (".gz", ".zst", ".bz2", ".xz")))
    """Packed ones too, of which the source says that they are to be unpacked."""

    @classmethod
    def of(cls, address: str) -> Self | None:
        """The file; a packed one only where it is there, so that none is written."""
        found = super().of(address)
        return found if found is None or address.endswith(ENDINGS) or found.path.is_file() else None

    @property
    def stem(self) -> Path:
        """Its path without `.jsonl`: what belongs to `records.jsonl` is `records.…`."""
        return self.path.with_suffix("") if self.path.suffix == ".jsonl" else self.path

    def source(self, options: SourceOptions, settings: FileSettings) -> PlacedSource:
        """Its lines."""
        return JsonLines(
            self.path,
            follow=options.follow,
            parts=settings.file_parts,
            block_bytes=settings.file_block_bytes,
            batch=options.batch,
        )

    def message_sink(self, options: SinkOptions, settings: FileSettings) -> MessageSink:
        """A line for each message."""
        from connectors.sinks.jsonl_sink import JsonlSink

        return JsonlSink(self.path, options.measured, settings.recovery)
