"""Lines into a file, each exactly once: after a crash the file is cut back to where the snapshot was taken.

Only what the recovery folder wrote is ever cut: it keeps a list of the files that it began (`OwnedFiles`).
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
    """Writes the values of messages into one file, as lines, by whichever worker has it.

    Args:
        path: Of the file; one that is not empty, and was not begun with the recovery folder, is refused.
        name: Of the step in the metrics.
        recovery: The recovery folder; None: nothing is gone on from.
    """

    def __init__(self, path: Path, name: str, recovery: Path | None = None) -> None:
        self._path = path.resolve()
        self._name = name
        self._begun = OwnedFiles(recovery)

    def check(self) -> None:
        """Raise `WorldError` where the file cannot be written: the part is opened only at the first line."""
        self.parts()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.open("ab").close()
        except OSError as error:
            raise WorldError(f"{self._path}: {error.strerror}") from None

    def parts(self) -> list[str]:
        """The file, as the one part."""
        return [part_name(self._path)]

    def was(self, name: str, part: str, mark: Mark) -> bool:
        """Whether the file was moved here: what was written to it then is in it."""
        offset = mark["offset"] if mark else 0
        return is_moved(Path(name), Path(part)) and self._path.exists() and self._path.stat().st_size >= offset

    def open(self, part: str, mark: Mark) -> "LineWriter":  # noqa: ARG002 - there is one part
        """Open the file; raises `WorldError` where it cannot be written, or holds what others wrote."""
        return LineWriter(self._path, self._name, mark["offset"] if mark else 0, self._begun)


class LineWriter(Writer[OutMessage]):
    """Writes lines into a file."""

    def __init__(self, path: Path, name: str, offset: int, begun: OwnedFiles) -> None:
        self._path = path
        self._name = name
        self._begun = begun
        try:
            self._file = path.open("ab")
            try:
                self._cut_to(offset)
            except BaseException:
                self._file.close()
                raise
        except OSError as error:
            raise WorldError(f"{path}: {error.strerror}") from None

    def _cut_to(self, offset: int) -> None:
        size = self._file.tell()
        if size < offset:
            raise WorldError(
                f"{self._path} is shorter than what was written to it: it was replaced; "
                "begin anew with an empty recovery folder"
            )
        self._begun.check(self._path, size, offset)
        self._begun.begin(self._path)
        self._file.truncate(offset)
        self._file.seek(offset)

    def write(self, items: list[OutMessage]) -> None:
        """Append a line for each; raises `WorldError`."""
        with step(self._name, len(items)):
            try:
                self._file.write(b"\n".join([item.value or b"" for item in items]) + b"\n")
                self._file.flush()
            except OSError as error:
                raise WorldError(f"{self._path}: {error.strerror}") from None

    def snapshot(self) -> Mark:
        """Let the disk have it all; the mark is the length of the file."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise WorldError(f"{self._path}: {error.strerror}") from None
        return {"version": 1, "offset": self._file.tell()}

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError, ValueError):  # an error here would abort the process; all that was written is flushed
            self._begun.end(self._path, self._file.tell())
            self._file.close()
