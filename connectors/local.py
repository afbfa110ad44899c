"""Base classes of the endpoints of local files and folders."""

import re
from pathlib import Path
from typing import ClassVar, Final, Self, TypeVar

from pydantic import Field

from connectors.column_settings import ColumnSettings
from connectors.endpoint import Endpoint, SourceOptions
from connectors.sources.column_mapping import chosen_columns
from connectors.sources.file_options import FileOptions
from core.errors import WorldError
from core.settings import DeleteSettings, RecoverySettings

S = TypeVar("S")

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class FileSettings(RecoverySettings, DeleteSettings, ColumnSettings):
    """How files are split and distributed to processes."""

    file_parts: int = Field(
        4,
        ge=1,
        le=64,
        description="Number of parts of a file that processes read in parallel; fixed while a recovery folder lives.",
    )

    file_block_bytes: int = Field(
        4096,
        ge=256,
        le=16 * 2**20,
        description="Size in bytes of the blocks that a file is distributed to its parts in: about a dozen posts.",
    )

    def file_options(self, options: SourceOptions) -> FileOptions:
        """Return how to read files; raises `SettingsError` if `columns` is invalid."""
        return FileOptions(
            follow=options.follow,
            parts=self.file_parts,
            block_bytes=self.file_block_bytes,
            batch=options.batch,
            columns=chosen_columns(self.columns),
            are_posts=options.are_posts,
        )


def has_scheme(address: str) -> bool:
    """Check whether an address begins with `scheme:`."""
    return _SCHEME.match(address) is not None


def path_of(address: str) -> Path | None:
    """Return the path that an address is, or None; an address that begins with `scheme:` is a path only if it exists.

    One that begins with `scheme://` never is: `s3://bucket` would be the folder `s3:`.
    """
    path = Path(address)
    is_path = "://" not in address and (path.exists() or not has_scheme(address))
    return path if is_path and address.strip() not in {"", "-"} else None


class LocalPlace(Endpoint[S]):
    """An endpoint on this machine."""

    path: Path

    def prepare(self, recovery: Path, *, goes_on: bool) -> None:
        """Create the place; refuse to overwrite another program's data, or to resume if the earlier output is gone."""
        if not goes_on:
            try:
                self.make(recovery)
            except OSError as error:
                raise WorldError(f"cannot create {self.path}: {error.strerror}") from None
        elif not self.path.exists():
            raise WorldError(
                f"{self.path} is missing, but {recovery} would resume after posts already done: "
                f"delete {recovery} to start over"
            )

    def make(self, recovery: Path) -> None:  # noqa: ARG002
        """Create the place; raises `OSError`, or `WorldError` if something else is there."""
        self.path.mkdir(parents=True, exist_ok=True)


class LocalFile(LocalPlace[S]):
    """A file, recognised by its extension."""

    endings: ClassVar[tuple[str, ...]]

    @classmethod
    def of(cls, address: str) -> Self | None:
        """Parse an address; None if its extension is of another kind or it is an existing folder."""
        path = path_of(address)
        if path is None or not address.lower().endswith(cls.endings) or path.is_dir():
            return None
        endpoint = cls(address)
        endpoint.path = path
        return endpoint

    def lock_file(self, writer: str) -> Path:  # noqa: ARG002
        """Return the file itself."""
        return self.path

    def make(self, recovery: Path) -> None:  # noqa: ARG002
        """Create an empty file; raises `WorldError` if one exists and is not empty."""
        if self.path.exists() and self.path.stat().st_size:
            raise WorldError(
                f"{self.path} exists already and would be overwritten: move it, choose another --to, or resume with "
                "the --recovery folder of the run that wrote it"
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()
