"""Append-only row logs in files beside a recovery folder: a snapshot stores only the length, not the rows."""

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
"""Rows per file. In a full file, only unwanted rows are overwritten."""
_PATIENCE: Final = 32
"""Snapshots after which an unneeded file is deleted: until then, a flow may resume from an older snapshot."""
_BLANKED_AFTER: Final = 3
"""Snapshots after which an unwanted row is overwritten: until then, a flow may resume from an older snapshot."""
_SPARSE: Final = 0.5
"""Files of which less than this share is needed are compacted: their needed rows are appended again."""

_NAME: Final = re.compile("[0-9a-f]{32}")
"""Folder name of a log."""
_OPENED: Final = "opened"
"""File in a log that counts how often a flow resumed from it."""

LogRows = NDArray[np.void]
Places = NDArray[np.int64]


def check_reachable(folder: Path | None) -> Path:
    """Return the folder of logs; raises `WorldError` if it is None, although a snapshot needs it."""
    if folder is None:
        raise WorldError(
            "the recovery folder keeps rows of clusters in separate files: set MEMEWAX_CLUSTER_LOG to their folder; "
            "the default is `clusters` in the recovery folder"
        )
    return folder


def times_opened(log: Path) -> int:
    """Return how often a flow resumed from a log: among copies of one, the copy in use has the largest count."""
    try:
        return int((log / _OPENED).read_text())
    except FileNotFoundError:
        return 0
    except (OSError, ValueError) as error:
        raise WorldError(f"{log / _OPENED} cannot be read: {error}") from None


class RowLog:
    """A log of fixed-size rows, truncated to the length that a snapshot says.

    After a crash, rows appended since the snapshot are discarded, so that the log matches the snapshot.
    """

    def __init__(self, folder: Path, row_type: np.dtype[np.void], mark: dict[str, Any] | None = None) -> None:
        """Create a log below `folder`, or resume the log of a mark.

        Raises:
            WorldError: if the log of the mark is missing, or shorter than the mark says.
        """
        self._row_type = row_type
        self._name = uuid4().hex if mark is None else str(mark["name"])
        self._folder = folder / self._name
        self._length: int = 0 if mark is None else mark["length"]
        self._doomed: dict[int, int] = {} if mark is None else dict(mark["doomed"])
        self._unwanted: dict[int, int] = {}
        """Positions of rows to be overwritten, each with the number of snapshots until then."""
        self._waiting: list[LogRows] = []
        if mark is not None:
            self._cut()
            blank_unwanted(folder, mark)
            self._note_opening()

    def __len__(self) -> int:
        return self._length

    def append(self, rows: LogRows) -> Places:
        """Append rows and return their positions. They are on disk after the next `mark`."""
        self._waiting.append(rows.copy())
        start, self._length = self._length, self._length + len(rows)
        return np.arange(start, self._length)

    def read(self, places: Places) -> LogRows:
        """Read the rows at the given positions, in that order."""
        self._write()
        rows = np.zeros(len(places), self._row_type)
        for segment in np.unique(places // SEGMENT).tolist():
            here = places // SEGMENT == segment
            rows[here] = np.fromfile(self._file(segment), self._row_type)[places[here] % SEGMENT]
        return rows

    def sparse(self, needed: Places) -> NDArray[np.bool_]:
        """Return a mask of the needed rows that lie in files worth compacting."""
        last = self._length // SEGMENT
        counts = np.bincount(needed // SEGMENT, minlength=last + 1)
        worth = counts < _SPARSE * SEGMENT
        worth[last] = False
        sparse: NDArray[np.bool_] = worth[needed // SEGMENT]
        return sparse

    def drop_all_but(self, needed: Places) -> None:
        """Schedule files without a needed row for deletion, some snapshots later."""
        self._write()
        kept = set(np.unique(needed // SEGMENT).tolist())
        for segment in range(self._length // SEGMENT):
            if segment not in kept and segment not in self._doomed and self._file(segment).exists():
                self._doomed[segment] = _PATIENCE

    def blank(self, places: Places) -> None:
        """Schedule unwanted rows to be overwritten, some snapshots later: they may belong to deleted posts."""
        self._unwanted |= dict.fromkeys(places.tolist(), _BLANKED_AFTER)

    def mark(self) -> dict[str, Any]:
        """Flush and fsync all rows, and return the mark for the snapshot; raises `WorldError` if that fails."""
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
        """Truncate what was appended after the mark."""
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
    """Check whether a value in a snapshot is the mark of a log."""
    return isinstance(value, dict) and {"name", "length", "doomed"} <= value.keys()


def blank_unwanted(folder: Path, mark: dict[str, Any]) -> None:
    """Overwrite the unwanted rows of a log below `folder`; raises `WorldError` if that fails.

    Call this only when a flow resumes from the snapshot with this mark, not from an older one.
    """
    _blank(folder / mark["name"], mark.get("unwanted", ()), mark.get("row_bytes", 0))


def drop_unknown(folder: Path, names: Collection[str]) -> None:
    """Remove the logs below a folder that no snapshot names: their process died before its first snapshot.

    Call this only while no flow keeps its logs there. Raises `WorldError` if that fails.
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
