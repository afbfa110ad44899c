"""LogRows that never change, in files beside a recovery folder: a snapshot says how far they go, and holds none."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from core.errors import WorldError
from core.whole_file import written_whole

SEGMENT: Final = 4096
"""LogRows of a file; one that is full is never written again."""
_PATIENCE: Final = 32
"""Snapshots after which a file that no row is needed of goes: until then an older snapshot may be gone on from."""
_SPARSE: Final = 0.5
"""Files of which less than this share is needed are emptied, their rows appended anew."""

_OPENED: Final = "opened"
"""File of a log: how often it was gone on from."""

LogRows = NDArray[np.void]
Places = NDArray[np.int64]


def check_reachable(folder: Path | None) -> Path:
    """The folder of logs; raises `WorldError` where a snapshot needs one and none is set."""
    if folder is None:
        raise WorldError(
            "the recovery folder keeps rows of clusters in files: set MEMEWAX_CLUSTER_LOG to their folder, "
            "which is `clusters` in the recovery folder where none was set"
        )
    return folder


def times_opened(log: Path) -> int:
    """How often a log was gone on from: of copies of one, the one that is in use was so most often."""
    try:
        return int((log / _OPENED).read_text())
    except FileNotFoundError:
        return 0
    except (OSError, ValueError) as error:
        raise WorldError(f"{log / _OPENED} cannot be read: {error}") from None


class RowLog:
    """A log of rows of one type, cut back to the length that a snapshot says.

    What was appended after the snapshot is written over after a crash, so that the rows are those of the snapshot.
    """

    def __init__(self, folder: Path, row_type: np.dtype[np.void], mark: dict[str, Any] | None = None) -> None:
        """Begin a log below `folder`, or go on with the one of a mark.

        Raises:
            WorldError: where the log of the mark is not there, or shorter than it says.
        """
        self._row_type = row_type
        self._name = uuid4().hex if mark is None else str(mark["name"])
        self._folder = folder / self._name
        self._length: int = 0 if mark is None else mark["length"]
        self._doomed: dict[int, int] = {} if mark is None else dict(mark["doomed"])
        self._waiting: list[LogRows] = []
        if mark is not None:
            self._cut()
            self._note_opening()

    def __len__(self) -> int:
        return self._length

    def append(self, rows: LogRows) -> Places:
        """Take rows in; gives their places. They are on disk after the next `mark`."""
        self._waiting.append(rows.copy())
        start, self._length = self._length, self._length + len(rows)
        return np.arange(start, self._length)

    def read(self, places: Places) -> LogRows:
        """The rows at places, in their order."""
        self._write()
        rows = np.zeros(len(places), self._row_type)
        for segment in np.unique(places // SEGMENT).tolist():
            here = places // SEGMENT == segment
            rows[here] = np.fromfile(self._file(segment), self._row_type)[places[here] % SEGMENT]
        return rows

    def sparse(self, needed: Places) -> NDArray[np.bool_]:
        """Which of the rows that are needed stand in files that are worth emptying."""
        last = self._length // SEGMENT
        counts = np.bincount(needed // SEGMENT, minlength=last + 1)
        worth = counts < _SPARSE * SEGMENT
        worth[last] = False
        sparse: NDArray[np.bool_] = worth[needed // SEGMENT]
        return sparse

    def drop_all_but(self, needed: Places) -> None:
        """Let files go that no row is needed of, some snapshots later."""
        self._write()
        kept = set(np.unique(needed // SEGMENT).tolist())
        for segment in range(self._length // SEGMENT):
            if segment not in kept and segment not in self._doomed and self._file(segment).exists():
                self._doomed[segment] = _PATIENCE

    def mark(self) -> dict[str, Any]:
        """Write all to disk; gives what a snapshot keeps. Raises `WorldError` where it cannot be written."""
        self._write()
        for segment in list(self._doomed):
            self._doomed[segment] -= 1
            if self._doomed[segment] < 0:
                self._file(segment).unlink(missing_ok=True)
                del self._doomed[segment]
        return {"name": self._name, "length": self._length, "doomed": dict(self._doomed)}

    def _write(self) -> None:
        if not self._waiting:
            return
        rows = np.concatenate(self._waiting)
        self._waiting.clear()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for segment, part in self._by_segment(self._length - len(rows), rows):
                with self._file(segment).open("ab") as file:
                    file.write(part.tobytes())
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            raise WorldError(f"{self._folder} cannot be written: {error.strerror}") from None

    def _by_segment(self, start: int, rows: LogRows) -> Iterator[tuple[int, LogRows]]:
        while len(rows):
            room = SEGMENT - start % SEGMENT
            yield start // SEGMENT, rows[:room]
            start, rows = start + len(rows[:room]), rows[room:]

    def _cut(self) -> None:
        """Take off what was appended after the mark."""
        last, rest = divmod(self._length, SEGMENT)
        try:
            for path in self._folder.glob("*.rows"):
                if int(path.stem) > last:
                    path.unlink()
            size = rest * self._row_type.itemsize
            file = self._file(last)
            if file.exists():
                if file.stat().st_size < size:
                    raise WorldError(f"{file} is shorter than the snapshot says: restore it with its recovery folder")
                os.truncate(file, size)
            elif size:
                raise WorldError(f"{file} is missing, and the snapshot needs it: restore it with its recovery folder")
        except OSError as error:
            raise WorldError(f"{self._folder} cannot be opened: {error.strerror}") from None

    def _note_opening(self) -> None:
        if not self._folder.is_dir():
            return
        count = times_opened(self._folder) + 1
        try:
            with written_whole(self._folder / _OPENED) as file:
                file.write(str(count).encode())
        except OSError as error:
            raise WorldError(f"{self._folder} cannot be written: {error.strerror}") from None

    def _file(self, segment: int) -> Path:
        return self._folder / f"{segment:08d}.rows"
