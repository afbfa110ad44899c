"""Streaming reader of rows from a file: JSON array, JSON Lines, CSV dialects or Parquet, compressed or not.

The format is determined by the extension, or if that is unknown, by the beginning of the file.
"""

import csv
import io
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import orjson

from connectors.unpacked_file import PACKINGS, UNPACKING_ERRORS, is_plain, unpacked
from connectors.wrapped_array import elements_in, wrapped_in
from core.errors import WorldError, first_line
from core.json_array import ArraySplitter, BadArrayError, Element
from core.json_text import json_of

LINES: Final = (".jsonl", ".ndjson")
TABLES: Final = (".csv", ".tsv", ".tab", ".parquet")
FORMATS: Final = (".json", *LINES, *TABLES)
"""Extensions that determine a format."""
_MAX_LINE: Final = 2**20
"""Maximum bytes of a line; a longer one is not a row."""
_TOGETHER: Final = 2**15
"""Bytes of adjacent invalid elements that are reported as one row, at most."""
_BATCH: Final = 1024
_CHUNK: Final = 2**16
_LOOKED_AT: Final = 2**16
"""Bytes at the beginning from which a format is detected."""
_PROGRESS_EVERY: Final = 64
"""Rows between two updates of the progress, each of which is a system call."""
_DELIMITERS: Final = ("\t", ";", ",", "|")
_CHAT: Final = re.compile(rb'"messages"\s*:\s*\[')
"""Recognises an export of chats: an object with messages in it."""
_MOST_OF_CHAT: Final = 50
"""Maximum fields of a chat to keep."""
_ADDRESS: Final = re.compile(r"\s*https?://", re.IGNORECASE)
_SEPARATOR_LINE: Final = re.compile(r'"?sep=(.)"?\r?\n?')
"""First line of a CSV file of Excel, which gives the delimiter."""

if TYPE_CHECKING:
    import pyarrow as pa

RawRow = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FileRow:
    """A row, or the reason why it is invalid."""

    number: int
    """Line of the file, or index in the array or table, from 1."""
    row: RawRow | None
    reason: str = ""
    raw: bytes = b""
    """Original bytes, if the format has them; only the beginning if too long."""


@dataclass(frozen=True, slots=True)
class Piece:
    """An unparsed row."""

    number: int
    held: Any
    row: Callable[[int, Any], FileRow]
    """Parses `held` to the row of a number."""
    rows: int = 1
    """Number of the file's rows that it stands for."""

    def parsed(self) -> FileRow:
        """Parse the row."""
        return self.row(self.number, self.held)

    @property
    def json(self) -> bytes | None:
        """Return the row's original JSON (truncated if too long); None for other formats."""
        return self.held.data.strip() if isinstance(self.held, Element) else None


class Form(ABC):
    """A format of rows."""

    @abstractmethod
    def pieces(self, stream: IO[bytes], *, whole: bool) -> Iterator[Piece]:
        """Yield the unparsed rows; with `whole`, omit a last line without a newline, which may be incomplete."""


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
        return (piece.parsed() for piece in self.pieces())

    def pieces(self, *, whole: bool = False) -> Generator[Piece, None, None]:
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
                    for count, piece in enumerate(form_of(self.path, stream).pieces(stream, whole=whole)):
                        if not count % _PROGRESS_EVERY:
                            self.done = done()
                        yield piece
            self.done = self.size
        except (*UNPACKING_ERRORS, BadArrayError) as error:
            raise WorldError(f"{self.path} cannot be read to its end: {first_line(error)}") from None

    def _parquet(self) -> Iterator[Piece]:
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
                        yield Piece(number, place, rows.row)
        except pa.ArrowException as error:
            raise OSError(first_line(error)) from None


def ending_of(path: Path) -> str:
    """Return the extension that determines the format, in lower case, before that of the compression; or empty."""
    name = path.name.lower()
    name = next((name.removesuffix(packing) for packing in PACKINGS if name.endswith(packing)), name)
    return next((ending for ending in FORMATS if name.endswith(ending)), "")


def is_json(path: Path) -> bool:
    """Check whether a file is JSON, which has typed numbers; raises `WorldError` if it cannot be read."""
    return not _is_parquet(path) and isinstance(_form(path), Lines | Array | Chats | Wrapped)


def is_lines(path: Path) -> bool:
    """Check whether a file of JSON can be read from any line: uncompressed UTF-8 lines; raises `WorldError`."""
    if not is_plain(path) or _is_parquet(path):
        return False
    with unpacked(path) as (stream, _):
        line, end, rest = stream.peek(_LOOKED_AT).partition(b"\n")
        is_one_line = not rest.strip() and (bool(end) or len(line) < _LOOKED_AT)
    return isinstance(_form(path), Lines) or (line[:1] == b"[" and is_one_line and _is_json(line))


def form_name(path: Path) -> str:
    """Return the name of a file's format, for people; raises `WorldError` if it cannot be read."""
    if _is_parquet(path):
        return "Parquet"
    form = _form(path)
    name = "JSON Lines" if isinstance(form, Lines) else "a JSON array" if isinstance(form, Array) else "CSV"
    name = "an export of chats" if isinstance(form, Chats) else name
    name = "a JSON array in an object" if isinstance(form, Wrapped) else name
    return name if is_plain(path) else f"{name}, compressed or in another encoding"


def _form(path: Path) -> Form:
    try:
        with unpacked(path) as (stream, _):
            return form_of(path, stream)
    except (*UNPACKING_ERRORS, BadArrayError) as error:
        raise WorldError(f"{path} cannot be read: {first_line(error)}") from None


def _is_parquet(path: Path) -> bool:
    if ending_of(path) == ".parquet":
        return True
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def form_of(path: Path, stream: io.BufferedReader) -> Form:
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
    if first == b"{" and not _is_object_a_line(begin) and (form := _form_of_object(begin, ending)) is not None:
        return form
    if first in {b"{", b"["} or not first:
        return Lines()
    if ending == ".json":
        raise BadArrayError("expected a JSON array, or a JSON object on each line")
    line = begin.splitlines()[0].decode(errors="replace")
    if first != b"<" and (any(it in line for it in _DELIMITERS) or _SEPARATOR_LINE.fullmatch(line)):
        return Delimited()
    raise WorldError(f"{path}: expected JSON, or a table with names in its first line ({', '.join(FORMATS)})")


def _form_of_object(begin: bytes, ending: str) -> Form | None:
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


class _Json(Form):
    """Base class of formats whose rows are JSON values."""

    too_long: str

    def _row(self, number: int, held: Any) -> FileRow:
        """Parse an element to a row, or to the reason why it is not an object."""
        element: Element = held
        if element.size > _MAX_LINE:
            return FileRow(number, None, f"the {self.too_long} is longer than {_MAX_LINE} bytes", element.data[:1000])
        try:
            row = json_of(element.data)
        except orjson.JSONDecodeError as error:
            return FileRow(number, None, f"not JSON in UTF-8: {error}", element.data)
        if isinstance(row, dict):
            return FileRow(number, row, raw=element.data)
        return FileRow(number, None, "expected an object of columns", element.data[:1000])


class Lines(_Json):
    """JSON Lines: a value on each line."""

    too_long = "line"

    def pieces(self, stream: IO[bytes], *, whole: bool) -> Iterator[Piece]:
        """Yield the lines that are not blank."""
        number = 0
        while line := stream.readline(_MAX_LINE):
            number += 1
            size = len(line)
            if size == _MAX_LINE and not line.endswith(b"\n"):
                size += 1
                while (rest := stream.readline(_MAX_LINE)) and not rest.endswith(b"\n"):
                    pass
            elif whole and not line.endswith(b"\n"):
                return
            if line.strip():
                yield Piece(number, Element(line, size), self._row)


class Array(_Json):
    """A JSON array: each element is a row."""

    too_long = "element"

    def pieces(self, stream: IO[bytes], *, whole: bool) -> Iterator[Piece]:
        """Yield the elements, adjacent ones without an object as one; raises `BadArrayError` if truncated.

        With `whole`, a truncated array is not an error.
        """
        splitter = ArraySplitter(_MAX_LINE)
        number = size = 0
        odd: list[bytes] = []
        while chunk := stream.read(_CHUNK):
            for element in splitter.feed(chunk):
                number += 1
                is_odd = b"{" not in element.data and element.size == len(element.data)
                if odd and (not is_odd or size > _TOGETHER):
                    yield self._together(number, odd)
                    odd = []
                if is_odd:
                    odd.append(element.data)
                    size = element.size if len(odd) == 1 else size + element.size + 1
                else:
                    yield Piece(number, element, self._row)
        if odd:
            yield self._together(number + 1, odd)
        if not whole:
            splitter.end()

    def _together(self, after: int, odd: list[bytes]) -> Piece:
        """Combine the elements without an object before `after` into one invalid row, instead of thousands."""
        joined = odd[0] if len(odd) == 1 else b"[" + b",".join(odd) + b"]"
        return Piece(after - len(odd), Element(joined, len(joined)), self._row, len(odd))


class Chats(Form):
    """An export of one or several chats: each message is a row, with the fields of its chat as `chat`."""

    def pieces(self, stream: IO[bytes], *, whole: bool) -> Iterator[Piece]:
        """Yield the messages; raises `BadArrayError` if the export is truncated, unless `whole`."""
        import ijson

        chat: dict[str, Any] = {}
        number = 0
        message: Any = None
        at = ""
        try:
            for prefix, event, value in ijson.parse(stream, use_float=True):
                if message is not None:
                    message.event(event, value)
                    if event == "end_map" and prefix == at:
                        number += 1
                        yield Piece(number, {"chat": dict(chat), **message.value}, _chat_row)
                        message = None
                elif event == "start_map" and prefix.endswith("messages.item"):
                    message, at = ijson.ObjectBuilder(), prefix
                    message.event(event, value)
                elif event == "start_map" and prefix.endswith("list.item"):
                    chat = {}
                elif event in {"string", "number"} and len(chat) < _MOST_OF_CHAT:
                    chat[prefix.rpartition("list.item.")[2]] = value
        except ijson.JSONError as error:
            if not whole:
                raise BadArrayError(first_line(error)) from None


class Wrapped(Form):
    """An object with an array of objects in it: each of these is a row.

    Args:
        name: Dotted name of the array.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def pieces(self, stream: IO[bytes], *, whole: bool) -> Iterator[Piece]:
        """Yield the elements; raises `BadArrayError` if the text is truncated, unless `whole`."""
        try:
            for number, it in enumerate(elements_in(stream, self._name), 1):
                yield Piece(number, it, _wrapped_row)
        except ValueError as error:
            if not whole:
                raise BadArrayError(first_line(error)) from None


def _wrapped_row(number: int, held: Any) -> FileRow:
    if isinstance(held, dict):
        return FileRow(number, held)
    return FileRow(number, None, "expected an object of columns", repr(held)[:1000].encode(errors="replace"))


def _chat_row(number: int, held: Any) -> FileRow:
    return FileRow(number, held)


class Delimited(Form):
    """CSV with names in the first line; if that has a URL, it is a row and names are `column_1`, `column_2` ….

    Args:
        delimiter: Delimiter of cells; by default detected from the first line.
    """

    def __init__(self, delimiter: str | None = None) -> None:
        self._delimiter = delimiter
        self._names: list[str] = []

    def pieces(self, stream: IO[bytes], *, whole: bool) -> Iterator[Piece]:
        """Yield the rows that are not blank; invalid UTF-8 makes only its own row invalid, not the file."""
        text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
        try:
            lines = _text_lines(text, whole=whole)
            before = 0
            first = next(lines, "")
            if separator := _SEPARATOR_LINE.fullmatch(first):
                self._delimiter, before, first = separator[1], 1, next(lines, "")
            delimiter = self._delimiter or max(_DELIMITERS, key=first.count)
            yield from self._cells(csv.reader(chain([first], lines), delimiter=delimiter), before)
        finally:
            text.detach()  # the caller closes the file

    def _cells(self, reader: Any, before: int) -> Iterator[Piece]:
        first: list[str] = next(reader, [])
        if any(_ADDRESS.match(cell) for cell in first):  # no names: the first line is a row
            self._names = _distinct([""] * len(first))
            yield Piece(reader.line_num + before, first, self._row)
        else:
            self._names = _distinct(first)
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                cells = f"not CSV: {error}"
            if cells:
                yield Piece(reader.line_num + before, cells, self._row)

    def _row(self, number: int, held: Any) -> FileRow:
        """Parse cells to a row by name; empty cells are None."""
        if isinstance(held, str):
            return FileRow(number, None, held)
        names, cells = self._names, held
        while len(cells) > len(names) and not cells[-1]:
            cells = cells[:-1]
        raw = ",".join(cells).encode(errors="surrogateescape")
        if len(cells) != len(names):
            return FileRow(number, None, f"expected {len(names)} cells, found {len(cells)}", raw)
        if any("\udc80" <= letter <= "\udcff" for cell in cells if not cell.isascii() for letter in cell):
            return FileRow(number, None, "not UTF-8", raw)
        return FileRow(number, {name: cell or None for name, cell in zip(names, cells, strict=True)})


def _distinct(names: list[str]) -> list[str]:
    """Strip column names and make them unique: an empty or repeated one gets its position as suffix."""
    made: list[str] = []
    for place, name in enumerate(names, 1):
        stripped = name.strip()
        made.append(stripped if stripped and stripped not in made else f"{stripped or 'column'}_{place}")
    return made


def _text_lines(text: io.TextIOWrapper, *, whole: bool) -> Iterator[str]:
    """Yield lines; one that is too long is truncated, since its cells are too long as well."""
    while line := text.readline(_MAX_LINE):
        if len(line) == _MAX_LINE and not line.endswith("\n"):
            while (rest := text.readline(_MAX_LINE)) and not rest.endswith("\n"):
                pass
        elif whole and not line.endswith("\n"):
            return
        yield line


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
