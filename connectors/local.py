"""Files and folders on this machine, as addresses."""

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
    """How files are dealt to processes."""

    file_parts: int = Field(
        4,
        ge=1,
        le=64,
        description="Parts of one file that processes read side by side; fixed for the life of a recovery folder.",
    )

    file_block_bytes: int = Field(
        4096,
        ge=256,
        le=16 * 2**20,
        description="A file is dealt to its parts in blocks of this size: about a dozen posts.",
    )

    def file_options(self, options: SourceOptions) -> FileOptions:
        """How files are read; raises `SettingsError` where a column is none."""
        return FileOptions(
            follow=options.follow,
            parts=self.file_parts,
            block_bytes=self.file_block_bytes,
            batch=options.batch,
            columns=chosen_columns(self.columns),
            are_posts=options.are_posts,
        )


def has_scheme(address: str) -> bool:
    """Whether it begins as `scheme:` does."""
    return _SCHEME.match(address) is not None


def path_of(address: str) -> Path | None:
    """The path that an address is, None where it is none: what begins with `scheme:` is one only where it is there.

    What begins with `scheme://` never is: `s3://bucket` would be the folder `s3:`.
    """
    path = Path(address)
    is_path = "://" not in address and (path.exists() or not has_scheme(address))
    return path if is_path and address.strip() not in {"", "-"} else None


class LocalPlace(Endpoint[S]):
    """A place on this machine."""

    path: Path

    def prepare(self, recovery: Path, *, goes_on: bool) -> None:
        """Neither overwrite what is somebody else's nor go on where what was written is gone."""
        if not goes_on:
            try:
                self.make(recovery)
            except OSError as error:
                raise WorldError(f"{self.path}: {error.strerror}") from None
        elif not self.path.exists():
            raise WorldError(
                f"{self.path} is not there, and {recovery} goes on after posts already done: delete it to begin anew"
            )

    def make(self, recovery: Path) -> None:  # noqa: ARG002
        """Make the place; raises `OSError`, and `WorldError` where something else is in it."""
        self.path.mkdir(parents=True, exist_ok=True)


class LocalFile(LocalPlace[S]):
    """A file, told by the ending of its name."""

    endings: ClassVar[tuple[str, ...]]

    @classmethod
    def of(cls, address: str) -> Self | None:
        """The file, where its ending is one of this kind; a folder that is there is none."""
        path = path_of(address)
        if path is None or not address.lower().endswith(cls.endings) or path.is_dir():
            return None
        endpoint = cls(address)
        endpoint.path = path
        return endpoint

    def lock_file(self, writer: str) -> Path:  # noqa: ARG002
        """The file itself."""
        return self.path

    def make(self, recovery: Path) -> None:  # noqa: ARG002
        """Make an empty file; raises `WorldError` where there is one that is not empty."""
        if self.path.exists() and self.path.stat().st_size:
            raise WorldError(
                f"{self.path} is there already and would begin anew: move it away, or name its --recovery folder"
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch()
