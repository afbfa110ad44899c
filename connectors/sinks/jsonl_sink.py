"""Exactly-once JSON Lines sink: after a crash the file is truncated to its length at the snapshot.

It only truncates what the same recovery folder wrote, which keeps a list of its files (`OwnedFiles`).
"""

import os
from contextlib import suppress
from pathlib import Path

from connectors.part_names import is_moved, part_name
from connectors.sinks.owned_files import OwnedFiles
from connectors.sinks.sink import Mark, MessageSink, OutMessage, Writer
from core.errors import WorldError
from core.telemetry import step


class JsonlSink(MessageSink):
    """A sink that writes the values of messages as lines into one file, from one worker.

    Args:
        path: Path of the file; a file that is not empty is refused, unless this recovery folder created it.
        name: Name of the step in metrics.
        recovery: The recovery folder; None if nothing is resumed.
    """

    def __init__(self, path: Path, name: str, recovery: Path | None = None) -> None:
        self._path = path.resolve()
        self._name = name
        self._owned = OwnedFiles(recovery)

    def check(self) -> None:
        """Raise `WorldError` if the file cannot be written: the partition is opened only at the first line."""
        self.parts()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.open("ab").close()
        except OSError as error:
            raise WorldError(f"cannot write {self._path}: {error.strerror}") from None

    def parts(self) -> list[str]:
        """Return the file as the only partition."""
        return [part_name(self._path)]

    def was_called(self, name: str, part: str, mark: Mark) -> bool:
        """Check whether the file was moved here, with all that was written to it."""
        offset = mark["offset"] if mark else 0
        return is_moved(Path(name), Path(part)) and self._path.exists() and self._path.stat().st_size >= offset

    def open(self, part: str, mark: Mark) -> "LineWriter":  # noqa: ARG002 - there is one part
        """Open the file; raises `WorldError` if it cannot be written, or another program has written to it."""
        return LineWriter(self._path, self._name, mark["offset"] if mark else 0, self._owned)


class LineWriter(Writer[OutMessage]):
    """Appends lines to a file."""

    def __init__(self, path: Path, name: str, offset: int, owned: OwnedFiles) -> None:
        self._path = path
        self._name = name
        self._owned = owned
        try:
            self._file = path.open("ab")
            try:
                self._cut_to(offset)
            except BaseException:
                self._file.close()
                raise
        except OSError as error:
            raise WorldError(f"cannot open {path}: {error.strerror}") from None

    def _cut_to(self, offset: int) -> None:
        size = self._file.tell()
        if size < offset:
            raise WorldError(
                f"{self._path} is shorter than what was written to it, so it was replaced: "
                "start over with a new recovery folder"
            )
        self._owned.check(self._path, size, offset)
        self._owned.begin(self._path)
        self._file.truncate(offset)
        self._file.seek(offset)

    def write(self, items: list[OutMessage]) -> None:
        """Append a line for each message; raises `WorldError`."""
        with step(self._name, len(items)):
            try:
                self._file.write(b"\n".join([item.value or b"" for item in items]) + b"\n")
                self._file.flush()
            except OSError as error:
                raise WorldError(f"cannot write {self._path}: {error.strerror}") from None

    def snapshot(self) -> Mark:
        """Sync the file to disk; return its length."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise WorldError(f"cannot write {self._path}: {error.strerror}") from None
        return {"version": 1, "offset": self._file.tell()}

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError, ValueError):  # an error here would abort the process, and all lines are flushed already
            self._owned.end(self._path, self._file.tell())
            self._file.close()
