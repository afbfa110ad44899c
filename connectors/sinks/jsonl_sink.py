"""Lines into a file, each exactly once: after a crash the file is cut back to where the snapshot was taken."""

import os
from contextlib import suppress
from pathlib import Path

from connectors.part_names import part_name
from connectors.sinks.sink import Mark, MessageSink, OutMessage, Writer
from core.errors import WorldError
from core.telemetry import step


class JsonlSink(MessageSink):
    """Writes the values of messages into one file, as lines, by whichever worker has it.

    Without a state to resume from the file begins empty.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path.resolve()
        self._name = name

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

    def open(self, part: str, mark: Mark) -> "LineWriter":  # noqa: ARG002 - there is one part
        """Open the file; raises `WorldError` where it cannot be written."""
        return LineWriter(self._path, self._name, mark["offset"] if mark else 0)


class LineWriter(Writer[OutMessage]):
    """Writes lines into a file."""

    def __init__(self, path: Path, name: str, offset: int) -> None:
        self._path = path
        self._name = name
        try:
            self._file = path.open("ab")
            if self._file.tell() < offset:
                self._file.close()
                raise WorldError(
                    f"{path} is shorter than what was written to it: it was replaced; "
                    "begin anew with an empty recovery folder"
                )
            self._file.truncate(offset)
            self._file.seek(offset)
        except OSError as error:
            raise WorldError(f"{path}: {error.strerror}") from None

    def write(self, items: list[OutMessage]) -> None:
        """Append a line for each; raises `WorldError`."""
        with step(self._name, len(items)):
            try:
                self._file.write(b"\n".join([item.value for item in items]) + b"\n")
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
        with suppress(OSError):  # an error here would abort the process; all that was written is flushed already
            self._file.close()
