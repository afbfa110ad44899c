"""Posts from a file of any supported format, or from all such files below a folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from connectors.row_file import FORMATS, LINES, ending_of, is_json, is_lines
from connectors.sources.column_mapping import ChosenColumn, missing
from connectors.sources.file_options import FileOptions
from connectors.sources.json_lines import LinesPlace, check_form, is_sidecar
from connectors.sources.mapped_place import MappedPlace, rows_in, why_no_images
from connectors.sources.removal_form import is_removal
from connectors.sources.row_shapes import AsItIs, RowShape, shape_of
from connectors.sources.rows_source import RowsPlace, RowsReader
from connectors.sources.source import Place, PlacedSource, Position, Reader
from core.errors import WorldError
from core.telemetry import log

SAMPLE: Final = 1000
"""Number of rows to look at to identify columns."""
_MOST_NAMED: Final = 40
"""Maximum number of columns to list in a log message."""
_REMEMBERED: Final = 4096
"""Number of files whose first rows are cached."""


class PostFiles(PlacedSource):
    """A file, or all files of rows below a folder; in a folder, each file is one partition."""

    def __init__(self, path: Path, options: FileOptions) -> None:
        self._path = path.resolve()
        self._options = options

    def parts(self) -> list[str]:
        """Return the partitions as `<path>#<part>`; raises `WorldError` if there is no file."""
        return [f"{place.name}#{number}" for place in self.places() for number in place.part_numbers(())]

    def places(self) -> list[Place]:
        """Return the files; raises `WorldError` if there are none."""
        if not self._path.is_dir():
            if not self._path.is_file():
                raise WorldError(f"no such file: {self._path}")
            return [self._place(self._path, self._options.parts)]
        files = files_of_posts(self._path, self._options.columns) or files_in(self._path)
        if not files:
            raise WorldError(f"no {', '.join(FORMATS)} file and no image in {self._path}")
        return [self._place(path, 1) for path in files]

    def open(self, part: str, resume: Position | None) -> Reader:
        """Read the rows of `part`."""
        name, _, number = part.rpartition("#")
        parts = 1 if self._path.is_dir() else self._options.parts
        return self._place(Path(name), parts).open(int(number), resume, ())

    def _place(self, path: Path, parts: int) -> Place:
        options = self._options
        place: Place = RowsPlace(path, options.batch, follow=options.follow)
        if is_lines(path):
            check_form(path)
            place = LinesPlace(path, parts, options.block_bytes, options.batch, follow=options.follow)
        if not options.are_posts:
            return place

        def check() -> None:
            if refusal := inspect_file(path, options.columns).refusal:
                raise WorldError(refusal)

        return MappedPlace(place, lambda: inspect_file(path, options.columns).shape, check)


def files_in(folder: Path) -> list[Path]:
    """Return the sorted files of rows below a folder, without sidecar files of images."""
    found = (path for path in folder.rglob("*") if ending_of(path) and path.is_file())
    return sorted(path for path in found if not is_sidecar(path))


def files_of_posts(folder: Path, columns: Sequence[ChosenColumn]) -> list[Path]:
    """Return the files below a folder that contain posts, judging by their names or first rows."""
    return [path for path in files_in(folder) if path.name.endswith(LINES) or _holds_posts(path, columns)]


def _holds_posts(path: Path, columns: Sequence[ChosenColumn]) -> bool:
    try:
        found = inspect_file(path, columns)
    except WorldError:
        return False
    if found.refusal:
        return False
    is_lone = ending_of(path) == ".json" and not found.are_several  # metadata that some tool wrote about a page
    return found.has_ids or not (isinstance(found.shape, AsItIs) or is_lone)


@dataclass(frozen=True, slots=True)
class FileInspection:
    """Findings about the first rows of a file."""

    shape: RowShape
    refusal: str
    """Why no row yields a post with an image; empty if one does."""
    has_ids: bool
    """Whether any row has a post's id."""
    are_several: bool


def inspect_file(path: Path, columns: Sequence[ChosenColumn]) -> FileInspection:
    """Inspect the first rows of a file; raises `WorldError` if it cannot be read.

    At startup this is called several times for each file of a folder, so the result is cached until the file changes.
    """
    try:
        status = path.stat()
    except OSError:
        raise WorldError(f"there is no file {path}") from None
    return _looked(path, (status.st_ino, status.st_size, status.st_mtime_ns), tuple(columns))


@lru_cache(_REMEMBERED)
def _looked(path: Path, version: tuple[int, ...], columns: tuple[ChosenColumn, ...]) -> FileInspection:  # noqa: ARG001
    reader = RowsReader(path, SAMPLE, follow=False, resume=None)
    try:
        unit = reader.read()
    finally:
        reader.close()
    found = (row for it in (unit.messages if unit else ()) for _, row in rows_in(it))
    rows = [row for row in found if row is not None and "wrong" not in row]
    shape = shape_of(rows, columns, is_table=not is_json(path))
    if absent := missing(rows, columns):
        log.warning("no row has these columns", file=str(path), columns=absent, there=list(rows[0])[:_MOST_NAMED])
    has_ids = any("global_id" in row or is_removal(row) for row in rows)
    return FileInspection(shape, why_no_images(str(path), rows, shape), has_ids, len(rows) > 1)
