"""Lines into a file, each exactly once: after a crash the file is cut back to where the snapshot was taken."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from connectors.endpoints import part_name
from core.errors import WorldError
from core.telemetry import step


class JsonlSink(FixedPartitionedSink[bytes, dict[str, Any]]):
    """Writes the values of `(key, line)` into one file, by whichever worker has it.

    Without a state to resume from the file begins empty.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path.resolve()
        self._name = name

    def check(self) -> None:
        """Raise `WorldError` where the file cannot be written: Bytewax opens it only at the first line."""
        self.list_parts()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.open("ab").close()
        except OSError as error:
            raise WorldError(f"{self._path}: {error.strerror}") from None

    def list_parts(self) -> list[str]:
        """The file, as the one part."""
        return [part_name(self._path)]

    def build_part(self, step_id: str, for_part: str, resume_state: dict[str, Any] | None) -> "_Part":  # noqa: ARG002
        """Open the file; raises `WorldError` where it cannot be written."""
        return _Part(self._path, self._name, resume_state["offset"] if resume_state else 0)


class _Part(StatefulSinkPartition[bytes, dict[str, Any]]):
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

    def write_batch(self, values: list[bytes]) -> None:
        with step(self._name, len(values)):
            try:
                self._file.write(b"\n".join(values) + b"\n")
                self._file.flush()
            except OSError as error:
                raise WorldError(f"{self._path}: {error.strerror}") from None

    def snapshot(self) -> dict[str, Any]:
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise WorldError(f"{self._path}: {error.strerror}") from None
        return {"version": 1, "offset": self._file.tell()}

    def close(self) -> None:
        with suppress(OSError):  # an error here would abort the process; all that was written is flushed already
            self._file.close()
