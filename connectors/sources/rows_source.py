"""Posts from files that can only be read sequentially: compressed files, tables, arrays, and other encodings.

A position is the number of rows that were read. Resuming skips as many: they are decompressed again, but not parsed.
"""

import time
from collections.abc import Generator, Iterable, Sequence
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Final

import orjson

from connectors.part_names import is_moved, part_name
from connectors.row_file import RowFile
from connectors.row_formats import UnparsedRow
from connectors.sources.source import Place, Position, Reader, Unit
from core.errors import WorldError
from core.records import Message
from core.telemetry import log

_HEAD_BYTES: Final = 4096
"""Size of the head of a file, whose hash identifies it."""
_PASSED: Final = 20_000
"""Number of rows to skip in one call, so that the flow can do other work in between."""
_SHOWN: Final = 1000
"""Characters of an invalid row to show."""
_LOOK_SECONDS: Final = 1.0
"""Shortest interval between checks of a followed file."""


class RowsPlace(Place):
    """A file of rows, identified by its head; one partition, since reading cannot start in the middle."""

    def __init__(self, path: Path, batch: int, *, follow: bool) -> None:
        self.name = part_name(path)
        self._path = path
        self._batch = batch
        self._follow = follow

    def owns_positions(self, positions: Sequence[Position]) -> bool | None:
        """Return whether the file still contains what was read; None if nothing was."""
        found = [_holds(self._path, it) for it in positions]
        return False if False in found else True if True in found else None

    def was_called(self, name: str, positions: Sequence[Position]) -> bool:
        """Return whether it contains what was read from another path that no longer exists."""
        return bool(self.owns_positions(positions)) and (is_moved(Path(name), self._path) or not Path(name).exists())

    def part_numbers(self, positions: Sequence[Position]) -> Iterable[int]:  # noqa: ARG002
        """Return the number of the only partition."""
        return range(1)

    def open(self, number: int, resume: Position | None, positions: Sequence[Position]) -> Reader:  # noqa: ARG002
        """Read the rows from the first, or from `resume`."""
        return RowsReader(self._path, self._batch, follow=self._follow, resume=resume)


class RowsReader(Reader):
    """Reads the rows of a file as JSON messages; an invalid row becomes a message with the reason."""

    def __init__(self, path: Path, batch: int, *, follow: bool, resume: Position | None) -> None:
        self._path = path
        self._batch = batch
        self._follow = follow
        self._done = int(resume["rows"]) if resume else 0
        self._file = RowFile(path)
        self._rows_left = self._begin()
        self._passed = 0
        self._looked_at = time.monotonic()
        self._is_at_end = False
        self._head: tuple[int, str] | None = None
        self._broken: WorldError | None = None

    def read(self) -> Unit | None:
        """Return the next rows; None also while skipping those that were read."""
        if self._is_at_end and not self._has_grown():
            return None
        if self._passed < self._done:
            until = min(self._done, self._passed + _PASSED)
            while self._passed < until and (row := next(self._rows_left, None)) is not None:
                self._passed += row.rows
            self._done = max(self._done, self._passed)
            return None
        if self._broken is not None:
            return self._report_truncated(self._broken)
        found: list[UnparsedRow] = []
        try:
            found += islice(self._rows_left, self._batch)
            self._is_at_end = len(found) < self._batch
        except WorldError as error:  # the rows before it are valid
            self._broken = error
        if not found:
            return None
        self._done += sum(row.rows for row in found)
        self._passed = self._done
        return Unit([self._message(row) for row in found], self._position())

    @property
    def ended(self) -> bool:
        """Return whether the last row was read and the file is not followed."""
        return self._is_at_end and not self._follow

    def lag(self) -> int:
        """Return the number of unread (compressed) bytes."""
        return max(0, self._file.size - self._file.done)

    def close(self) -> None:
        """Close the file."""
        self._rows_left.close()

    def _begin(self) -> Generator[UnparsedRow, None, None]:
        return self._file.unparsed_rows(whole=self._follow)

    def _has_grown(self) -> bool:
        """Check whether a followed file has changed in size; then start again and skip the rows that were read."""
        if not self._follow or time.monotonic() - self._looked_at < _LOOK_SECONDS:
            return False
        self._looked_at = time.monotonic()
        if self._path.stat().st_size == self._file.size:
            return False
        self._rows_left, self._passed, self._is_at_end, self._head = self._begin(), 0, False, None
        return True

    def _report_truncated(self, error: WorldError) -> Unit | None:
        self._is_at_end, self._broken = True, None
        if self._follow:
            return None
        log.warning("a file is truncated or broken; the rest is not read", file=str(self._path), rows=self._done)
        reason = f"the file is truncated or broken after {self._done:,} rows: get it again"
        wrong = {"item": str(error), "wrong": reason}
        return Unit([Message(orjson.dumps(wrong), f"file:{self._path}@end")], self._position())

    def _message(self, unparsed: UnparsedRow) -> Message:
        origin = f"file:{self._path}@{unparsed.number}"
        if unparsed.json is not None:  # parsing reports errors
            return Message(unparsed.json, origin)
        row = unparsed.parsed()
        body = row.row if row.row is not None else {"item": row.raw.decode(errors="replace"), "wrong": row.reason}
        try:
            return Message(orjson.dumps(body, default=_plain, option=orjson.OPT_NON_STR_KEYS), origin)
        except TypeError as error:  # nested too deep, or a number of more than 64 bits
            wrong = {"item": repr(body)[:_SHOWN].encode(errors="replace").decode(), "wrong": f"no JSON: {error}"}
            return Message(orjson.dumps(wrong), origin)

    def _position(self) -> Position:
        if self._head is None:
            with self._path.open("rb") as file:
                head = file.read(_HEAD_BYTES)
            self._head = len(head), _digest(head)
        return {"version": 1, "rows": self._done, "head": self._head}


def _plain(value: object) -> object:
    """Convert a value that JSON cannot represent: bytes to None, others to strings."""
    return None if isinstance(value, bytes) else str(value)


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()


def _holds(path: Path, position: Position) -> bool:
    """Check whether a file has the head in a position; a position of another kind of place never matches."""
    if "rows" not in position or "head" not in position:
        return False
    length, digest = position["head"]
    try:
        with path.open("rb") as file:
            return bool(_digest(file.read(length)) == digest)
    except OSError as error:
        raise WorldError(f"{path}: {error.strerror}") from None
