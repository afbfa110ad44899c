"""Posts from a file of any form, or from every such file below a folder."""

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
"""Rows by which columns are told."""
_MOST_NAMED: Final = 40
"""Columns."""
_REMEMBERED: Final = 4096
"""Files of which it is remembered what they are."""


class PostFiles(PlacedSource):
    """A file, or every file below a folder that holds rows; in a folder each file is one part."""

    def __init__(self, path: Path, options: FileOptions) -> None:
        self._path = path.resolve()
        self._options = options

    def parts(self) -> list[str]:
        """`<path>#<part>`; raises `WorldError` where there is no such file or none in the folder."""
        return [f"{place.name}#{number}" for place in self.places() for number in place.numbers(())]

    def places(self) -> list[Place]:
        """The files; raises `WorldError` where there are none."""
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
            if refusal := look_at(path, options.columns).refusal:
                raise WorldError(refusal)

        return MappedPlace(place, lambda: look_at(path, options.columns).shape, check)


def files_in(folder: Path) -> list[Path]:
    """The files of rows below a folder, in order; those that tell of an image beside them are none."""
    found = (path for path in folder.rglob("*") if ending_of(path) and path.is_file())
    return sorted(path for path in found if not is_sidecar(path))


def files_of_posts(folder: Path, columns: Sequence[ChosenColumn]) -> list[Path]:
    """Those of the files below a folder that hold posts, by their names or by their first rows."""
    return [path for path in files_in(folder) if path.name.endswith(LINES) or _holds_posts(path, columns)]


def _holds_posts(path: Path, columns: Sequence[ChosenColumn]) -> bool:
    try:
        found = look_at(path, columns)
    except WorldError:
        return False
    if found.refusal:
        return False
    is_lone = ending_of(path) == ".json" and not found.are_several  # what some tool keeps about a page
    return found.has_ids or not (isinstance(found.shape, AsItIs) or is_lone)


@dataclass(frozen=True, slots=True)
class FileLook:
    """What the first rows of a file are."""

    shape: RowShape
    refusal: str
    """Why no row becomes a post with an image; empty where one does."""
    has_ids: bool
    """Whether a row has the id of a post."""
    are_several: bool


def look_at(path: Path, columns: Sequence[ChosenColumn]) -> FileLook:
    """What the first rows of a file are; raises `WorldError` where it cannot be read.

    A start asks several times, of each file of a folder. So it is remembered until the file changes.
    """
    try:
        told = path.stat()
    except OSError:
        raise WorldError(f"there is no file {path}") from None
    return _looked(path, (told.st_ino, told.st_size, told.st_mtime_ns), tuple(columns))


@lru_cache(_REMEMBERED)
def _looked(path: Path, version: tuple[int, ...], columns: tuple[ChosenColumn, ...]) -> FileLook:  # noqa: ARG001
    reader = RowsReader(path, SAMPLE, follow=False, resume=None)
    try:
        unit = reader.read()
    finally:
        reader.close()
    found = (row for it in (unit.messages if unit else ()) for _, row in rows_in(it))
    rows = [row for row in found if row is not None and "wrong" not in row]
    shape = shape_of(rows, columns, is_table=not is_json(path))
    if absent := missing(rows, columns):
        log.warning("a column that no row has", file=str(path), columns=absent, there=list(rows[0])[:_MOST_NAMED])
    has_ids = any("global_id" in row or is_removal(row) for row in rows)
    return FileLook(shape, why_no_images(str(path), rows, shape), has_ids, len(rows) > 1)
