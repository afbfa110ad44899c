"""Endpoint of a local folder: read as a folder of files or images, written as the store."""

from pathlib import Path
from typing import TYPE_CHECKING, Self

from connectors.endpoint import SinkOptions, SourceOptions
from connectors.local import FileSettings, LocalPlace, path_of
from connectors.sinks.sink import Sink, TableItem
from connectors.sources.column_mapping import ChosenColumn
from connectors.sources.source import PlacedSource
from core.columns import Table

if TYPE_CHECKING:
    from connectors.store.interface import Store


class Folder(LocalPlace[FileSettings]):
    """A folder: an existing one, an address with a final slash, or a new name without an extension."""

    reads = "a folder of files of posts or of images"
    takes_rows = "a folder (the store)"

    @property
    def lag_unit(self) -> str:  # type: ignore[override]
        """Return the unit of the lag: "images" or "bytes"."""
        return "images" if self._holds_images() else "bytes"

    @classmethod
    def of(cls, address: str) -> Self | None:
        """Parse an address; None if it is a file or looks like one."""
        path = path_of(address)
        if path is None:
            return None
        is_new = not path.exists() and not path.suffix
        return cls.at(path, address) if path.is_dir() or address.endswith("/") or is_new else None

    @classmethod
    def at(cls, path: Path, address: str | None = None) -> Self:
        """Return the folder at a path, whatever its name."""
        endpoint = cls(str(path) if address is None else address)
        endpoint.path = path
        return endpoint

    def lock_file(self, writer: str) -> Path:
        """Return the lock file in the store for a writer."""
        return self.path / f"{writer}.lock"

    def source(self, options: SourceOptions, settings: FileSettings) -> PlacedSource:
        """Return a source of the folder's files of posts, or of its images if it has no such files."""
        from connectors.sources.image_folder import Images
        from connectors.sources.post_files import PostFiles

        files = settings.file_options(options)
        if self._holds_images(files.columns):
            return Images(self.path, follow=options.follow, parts=settings.file_parts, batch=options.batch)
        return PostFiles(self.path, files)

    def _holds_images(self, columns: tuple[ChosenColumn, ...] = ()) -> bool:
        from connectors.sources.image_folder import holds_images
        from connectors.sources.post_files import files_of_posts

        return self.path.is_dir() and holds_images(self.path) and not files_of_posts(self.path, columns)

    def store(self, settings: FileSettings, state: Path | None = None) -> "Store":  # noqa: ARG002 - a folder has its own
        """Return the store in the folder."""
        from connectors.store.lance_store import folder_store

        return folder_store(self.path)

    def table_sink(self, table: Table, options: SinkOptions, settings: FileSettings) -> Sink[TableItem]:
        """Return a sink of a table of the store."""
        from connectors.store.store_sink import StoreSink

        return StoreSink(self.store(settings), table, options.measured, settings.forget_memory_days)
