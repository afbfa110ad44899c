"""Streaming reader of rows from a file: JSON array, JSON Lines, CSV dialects or Parquet, compressed or not.

The format is determined by the extension, or if that is unknown, by the beginning of the file.
"""

import io
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from connectors.row_formats import (
    DELIMITERS,
    SEPARATOR_LINE,
    Array,
    Chats,
    Delimited,
    FileRow,
    Lines,
    RawRow,
    RowFormat,
    UnparsedRow,
    Wrapped,
)
from connectors.unpacked_file import PACKINGS, UNPACKING_ERRORS, is_plain, unpacked
from connectors.wrapped_array import wrapped_in
from core.errors import WorldError, first_line
from core.json_array import BadArrayError
from core.json_text import json_of

LINES: Final = (".jsonl", ".ndjson")
TABLES: Final = (".csv", ".tsv", ".tab", ".parquet")
FORMATS: Final = (".json", *LINES, *TABLES)
"""Extensions that determine a format."""
_BATCH: Final = 1024
_LOOKED_AT: Final = 2**16
"""Bytes at the beginning from which a format is detected."""
_PROGRESS_EVERY: Final = 64
"""Rows between two updates of the progress, each of which is a system call."""
_CHAT: Final = re.compile(rb'"messages"\s*:\s*\[')
"""Recognises an export of chats: an object with messages in it."""

if TYPE_CHECKING:
    import pyarrow as pa


class RowFile:
    """A file of rows; each iteration reads it from the start, in bounded memory."""

    def __init__(self, path: Path) -> None:
        """Check that the file exists; raises `WorldError`."""
        if not path.is_file():
            raise WorldError(f"file {path} does not exist")
        self.path = path
        self.size = path.stat().st_size
        self.done = 0
        """Bytes read so far, of `size`."""

    def __iter__(self) -> Iterator[FileRow]:
        """Yield the rows in order; raises `WorldError` if the file is truncated or of another format than its name."""
        return (row.parsed() for row in self.unparsed_rows())

    def unparsed_rows(self, *, whole: bool = False) -> Generator[UnparsedRow, None, None]:
        """Yield the unparsed rows in order, so that some can be skipped quickly; raises like iterating.

        Args:
            whole: Whether to omit a last line without a newline, since the file may be being written.
        """
        self.size, self.done = self.path.stat().st_size, 0
        try:
            if _is_parquet(self.path):
                yield from self._parquet()
            else:
                with unpacked(self.path) as (stream, done):
                    for count, row in enumerate(format_of(self.path, stream).unparsed_rows(stream, whole=whole)):
                        if not count % _PROGRESS_EVERY:
                            self.done = done()
                        yield row
            self.done = self.size
        except (*UNPACKING_ERRORS, BadArrayError) as error:
            raise WorldError(f"{self.path} cannot be read to its end: {first_line(error)}") from None

    def _parquet(self) -> Iterator[UnparsedRow]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        number = 0
        try:
            with pq.ParquetFile(self.path) as file:
                for batch in file.iter_batches(_BATCH):
                    rows = _Rows(batch)
                    for place in range(batch.num_rows):
                        number += 1
                        self.done = self.size * number // file.metadata.num_rows
                        yield UnparsedRow(number, place, rows.row)
        except pa.ArrowException as error:
            raise OSError(first_line(error)) from None


def ending_of(path: Path) -> str:
    """Return the extension that determines the format, in lower case, before that of the compression; or empty."""
    name = path.name.lower()
    name = next((name.removesuffix(packing) for packing in PACKINGS if name.endswith(packing)), name)
    return next((ending for ending in FORMATS if name.endswith(ending)), "")


def is_json(path: Path) -> bool:
    """Check whether a file is JSON, which has typed numbers; raises `WorldError` if it cannot be read."""
    return not _is_parquet(path) and isinstance(_format(path), Lines | Array | Chats | Wrapped)


def is_lines(path: Path) -> bool:
    """Check whether a file of JSON can be read from any line: uncompressed UTF-8 lines; raises `WorldError`."""
    if not is_plain(path) or _is_parquet(path):
        return False
    with unpacked(path) as (stream, _):
        line, end, rest = stream.peek(_LOOKED_AT).partition(b"\n")
        is_one_line = not rest.strip() and (bool(end) or len(line) < _LOOKED_AT)
    return isinstance(_format(path), Lines) or (line[:1] == b"[" and is_one_line and _is_json(line))


def format_name(path: Path) -> str:
    """Return the name of a file's format, for people; raises `WorldError` if it cannot be read."""
    if _is_parquet(path):
        return "Parquet"
    found = _format(path)
    name = "JSON Lines" if isinstance(found, Lines) else "a JSON array" if isinstance(found, Array) else "CSV"
    name = "an export of chats" if isinstance(found, Chats) else name
    name = "a JSON array in an object" if isinstance(found, Wrapped) else name
    return name if is_plain(path) else f"{name}, compressed or in another encoding"


def _format(path: Path) -> RowFormat:
    try:
        with unpacked(path) as (stream, _):
            return format_of(path, stream)
    except (*UNPACKING_ERRORS, BadArrayError) as error:
        raise WorldError(f"{path} cannot be read: {first_line(error)}") from None


def _is_parquet(path: Path) -> bool:
    if ending_of(path) == ".parquet":
        return True
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def format_of(path: Path, stream: io.BufferedReader) -> RowFormat:
    """Detect the format of a text by its extension or its beginning; raises `WorldError` if it is unknown.

    Args:
        path: Path of the file.
        stream: Stream at its beginning, of which nothing is consumed.
    """
    ending = ending_of(path)
    begin: bytes = stream.peek(_LOOKED_AT)
    first = begin.lstrip()[:1]
    if ending in {".csv", ".tsv", ".tab"}:
        return Delimited("\t" if ending != ".csv" else None)
    if ending in LINES and first not in {b"[", b"{"}:
        return Lines()
    if first == b"[" and not _is_array_a_line(begin):
        return Array()
    if first == b"{" and not _is_object_a_line(begin) and (found := _format_of_object(begin, ending)) is not None:
        return found
    if first in {b"{", b"["} or not first:
        return Lines()
    if ending == ".json":
        raise BadArrayError("expected a JSON array, or a JSON object on each line")
    line = begin.splitlines()[0].decode(errors="replace")
    if first != b"<" and (any(it in line for it in DELIMITERS) or SEPARATOR_LINE.fullmatch(line)):
        return Delimited()
    raise WorldError(f"{path}: expected JSON, or a table with names in its first line ({', '.join(FORMATS)})")


def _format_of_object(begin: bytes, ending: str) -> RowFormat | None:
    """Detect the format of a text that is one object; None if it does not contain the rows."""
    if _CHAT.search(begin):
        return Chats()
    name = "" if ending in LINES else wrapped_in(begin)
    return Wrapped(name) if name else None


def _is_object_a_line(begin: bytes) -> bool:
    """Check whether the first line is a complete object, and others follow or it is a post."""
    line, _, rest = begin.partition(b"\n")
    try:
        held = json_of(line)
    except orjson.JSONDecodeError:
        return False
    return isinstance(held, dict) and (bool(rest.strip()) or "global_id" in held)


def _is_array_a_line(begin: bytes) -> bool:
    """Check whether the first line is a complete array, and others follow."""
    line, end, rest = begin.partition(b"\n")
    return bool(end and rest.strip()) and line.lstrip()[:1] == b"[" and _is_json(line)


def _is_json(line: bytes) -> bool:
    """Check whether a line is a complete JSON value."""
    try:
        json_of(line)
    except orjson.JSONDecodeError:
        return False
    return True


class _Rows:
    """Rows of a Parquet batch, converted when the first of them is needed."""

    def __init__(self, batch: "pa.RecordBatch") -> None:
        self._batch = batch
        self._rows: list[RawRow] | None = None

    def row(self, number: int, place: int) -> FileRow:
        """Return the row at an index of the batch."""
        if self._rows is None:
            names, columns = self._batch.schema.names, map(_values, self._batch.columns)
            self._rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
        return FileRow(number, self._rows[place])


def _values(column: "pa.Array") -> list[Any]:
    """Return the values of a column; one that Python cannot represent, such as the year 10000, becomes text or None."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":  # Python's times have microseconds
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError):
        return [_value(it) for it in column]


def _value(scalar: "pa.Scalar") -> Any:
    import pyarrow as pa

    try:
        return scalar.as_py()
    except (ValueError, OverflowError):
        pass
    try:
        return scalar.cast(pa.string()).as_py()
    except (pa.ArrowException, ValueError):  # it is nested in another value
        return None
