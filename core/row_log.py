"""LogRows that never change, in files beside a recovery folder: a snapshot says how far they go, and holds none."""

import os
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from core.atomic_file import atomic_write
from core.errors import WorldError

SEGMENT: Final = 4096
"""LogRows of a file; of one that is full only rows that are wanted no more are written over."""
_PATIENCE: Final = 32
"""Snapshots after which a file that no row is needed of goes: until then an older snapshot may be gone on from."""
_BLANKED_AFTER: Final = 3
"""Snapshots after which a row that is wanted no more is written over: an older one may be gone on from until then."""
_SPARSE: Final = 0.5
"""Files of which less than this share is needed are emptied, their rows appended anew."""

_NAME: Final = re.compile("[0-9a-f]{32}")
"""Of a log."""
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
        self._unwanted: dict[int, int] = {}
        """Places of rows that will be written over, each with the number of snapshots until then."""
        self._waiting: list[LogRows] = []
        if mark is not None:
            self._cut()
            blank_unwanted(folder, mark)
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

    def blank(self, places: Places) -> None:
        """Write over rows that are wanted no more, some snapshots later: they may be of what was deleted."""
        self._unwanted |= dict.fromkeys(places.tolist(), _BLANKED_AFTER)

    def mark(self) -> dict[str, Any]:
        """Write all to disk; gives what a snapshot keeps. Raises `WorldError` where it cannot be written."""
        self._write()
        due = [place for place, snapshots in self._unwanted.items() if snapshots <= 1]
        _blank(self._folder, due, self._row_type.itemsize)
        self._unwanted = {place: left - 1 for place, left in self._unwanted.items() if left > 1}
        for segment in list(self._doomed):
            self._doomed[segment] -= 1
            if self._doomed[segment] < 0:
                self._file(segment).unlink(missing_ok=True)
                del self._doomed[segment]
        return {
            "name": self._name,
            "length": self._length,
            "doomed": dict(self._doomed),
            "unwanted": list(self._unwanted),
            "row_bytes": self._row_type.itemsize,
        }

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
            with atomic_write(self._folder / _OPENED) as file:
                file.write(str(count).encode())
        except OSError as error:
            raise WorldError(f"{self._folder} cannot be written: {error.strerror}") from None

    def _file(self, segment: int) -> Path:
        return _segment_file(self._folder, segment)


def is_mark(value: Any) -> bool:
    """Whether a value of a snapshot is the mark of a log."""
    return isinstance(value, dict) and {"name", "length", "doomed"} <= value.keys()


def blank_unwanted(folder: Path, mark: dict[str, Any]) -> None:
    """Write over the rows of a log below `folder` that its mark wants no more; raises `WorldError`.

    To be called where the snapshot that has the mark is gone on from, and no older one.
    """
    _blank(folder / mark["name"], mark.get("unwanted", ()), mark.get("row_bytes", 0))


def drop_unknown(folder: Path, names: Collection[str]) -> None:
    """Remove the logs below a folder that no snapshot names: whoever began one died before its first snapshot.

    To be called where no flow runs that has its logs there. Raises `WorldError`.
    """
    try:
        for path in folder.iterdir() if folder.is_dir() else ():
            if _NAME.fullmatch(path.name) and path.name not in names:
                shutil.rmtree(path)
    except OSError as error:
        raise WorldError(f"{folder} cannot be written: {error.strerror}") from None


def _blank(folder: Path, places: Collection[int], row_bytes: int) -> None:
    try:
        for place in places:
            segment, row = divmod(place, SEGMENT)
            file = _segment_file(folder, segment)
            if file.exists() and file.stat().st_size >= (row + 1) * row_bytes:
                with file.open("r+b") as out:
                    out.seek(row * row_bytes)
                    out.write(bytes(row_bytes))
    except OSError as error:
        raise WorldError(f"{folder} cannot be written: {error.strerror}") from None


def _segment_file(folder: Path, segment: int) -> Path:
    return folder / f"{segment:08d}.rows"
