"""Rows of a file, one at a time: a JSON array, JSON lines, CSV in any of its forms or Parquet, packed or not.

The form is told by the ending of the name, and where that says nothing, by what the file begins with.
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
"""Endings of names that tell a form."""
_MAX_LINE: Final = 2**20
"""A longer line is no row."""
_TOGETHER: Final = 2**15
"""Bytes of neighbours that are none, from which on the next ones are apart."""
_BATCH: Final = 1024
_CHUNK: Final = 2**16
_LOOKED_AT: Final = 2**16
"""Bytes by which a form is told."""
_TOLD_EVERY: Final = 64
"""Rows after which it is looked how far the file was read, which is a call of the system."""
_DELIMITERS: Final = ("\t", ";", ",", "|")
_CHAT: Final = re.compile(rb'"messages"\s*:\s*\[')
"""What an export of a chat holds: one object, and the messages in it."""
_MOST_OF_CHAT: Final = 50
"""Fields of a chat that are kept."""
_ADDRESS: Final = re.compile(r"\s*https?://", re.IGNORECASE)
_SAID: Final = re.compile(r'"?sep=(.)"?\r?\n?')
"""The first line of a CSV of Excel's, which names the delimiter."""

if TYPE_CHECKING:
    import pyarrow as pa

RawRow = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FileRow:
    """One row, or why there is none."""

    number: int
    """Line of the file, or place in the array or table; from 1."""
    row: RawRow | None
    reason: str = ""
    raw: bytes = b""
    """What was read, where the format tells; the beginning of what is too long."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What a row is made of, not looked at yet."""

    number: int
    held: Any
    row: Callable[[int, Any], FileRow]
    """Makes a row of the number and of what is held."""
    rows: int = 1
    """How many of the file's it stands for."""

    def parsed(self) -> FileRow:
        """The row."""
        return self.row(self.number, self.held)

    @property
    def json(self) -> bytes | None:
        """Its JSON as it was read, of what is too long the beginning; None where it was written otherwise."""
        return self.held.data.strip() if isinstance(self.held, Element) else None


class Form(ABC):
    """How rows are written."""

    @abstractmethod
    def pieces(self, stream: IO[bytes], *, whole: bool) -> Iterator[Piece]:
        """What the rows are made of; where `whole` is asked for, a last line without an end is left out."""


class RowFile:
    """A file of rows; iterating reads it once more from its start, in bounded memory."""

    def __init__(self, path: Path) -> None:
        """Raises `WorldError` where it is not there."""
        if not path.is_file():
            raise WorldError(f"there is no file {path}")
        self.path = path
        self.size = path.stat().st_size
        self.done = 0
        """Bytes that were read, of `size`."""

    def __iter__(self) -> Iterator[FileRow]:
        """The rows in order; raises `WorldError` where the file breaks off or is not what its name says."""
        return (piece.parsed() for piece in self.pieces())

    def pieces(self, *, whole: bool = False) -> Generator[Piece, None, None]:
        """What the rows are made of, in order, so that some can be passed over quickly; raises as iterating does.

        Args:
            whole: Whether a last line without an end is left out: the file may be written just now.
        """
        self.size, self.done = self.path.stat().st_size, 0
        try:
            if _is_parquet(self.path):
                yield from self._parquet()
            else:
                with unpacked(self.path) as (stream, done):
                    for count, piece in enumerate(form_of(self.path, stream).pieces(stream, whole=whole)):
                        if not count % _TOLD_EVERY:
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
    """The ending of a name that tells the form of what is in it, in small letters; empty where there is none."""
    name = path.name.lower()
    name = next((name.removesuffix(packing) for packing in PACKINGS if name.endswith(packing)), name)
    return next((ending for ending in FORMATS if name.endswith(ending)), "")


def is_json(path: Path) -> bool:
    """Whether a file holds JSON, so that numbers are numbers; raises `WorldError` where it cannot be read."""
    return not _is_parquet(path) and isinstance(_form(path), Lines | Array | Chats | Wrapped)


def is_lines(path: Path) -> bool:
    """Whether anybody can begin at any line of a file of JSON: it is UTF-8, and not packed; raises `WorldError`."""
    if not is_plain(path) or _is_parquet(path):
        return False
    with unpacked(path) as (stream, _):
        line, end, rest = stream.peek(_LOOKED_AT).partition(b"\n")
        is_one_line = not rest.strip() and (bool(end) or len(line) < _LOOKED_AT)
    return isinstance(_form(path), Lines) or (line[:1] == b"[" and is_one_line and _is_json(line))


def form_name(path: Path) -> str:
    """What the form of a file is called; raises `WorldError` where it cannot be read."""
    if _is_parquet(path):
        return "Parquet"
    form = _form(path)
    name = "JSON Lines" if isinstance(form, Lines) else "a JSON array" if isinstance(form, Array) else "CSV"
    name = "an export of chats" if isinstance(form, Chats) else name
    name = "a JSON array in an object" if isinstance(form, Wrapped) else name
    return name if is_plain(path) else f"{name}, packed or in another encoding"


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
    """The form of a text, by the ending of its name, or by what it begins with; raises `WorldError` where it has none.

    Args:
        path: Of the file.
        stream: At its beginning; nothing is taken from it.
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
        raise BadArrayError("expected an array, or lines of objects")
    line = begin.splitlines()[0].decode(errors="replace")
    if first != b"<" and (any(it in line for it in _DELIMITERS) or _SAID.fullmatch(line)):
        return Delimited()
    raise WorldError(f"{path}: expected JSON, or a table with names in its first line ({', '.join(FORMATS)})")


def _form_of_object(begin: bytes, ending: str) -> Form | None:
    """The form of a text that is one object; None where its rows are not inside it."""
    if _CHAT.search(begin):
        return Chats()
    name = "" if ending in LINES else wrapped_in(begin)
    return Wrapped(name) if name else None


def _is_object_a_line(begin: bytes) -> bool:
    """Whether the first line is a whole object, and others follow or it is a post."""
    line, _, rest = begin.partition(b"\n")
    try:
        held = json_of(line)
    except orjson.JSONDecodeError:
        return False
    return isinstance(held, dict) and (bool(rest.strip()) or "global_id" in held)


def _is_array_a_line(begin: bytes) -> bool:
    """Whether the first line is an array that is whole, and others follow."""
    line, end, rest = begin.partition(b"\n")
    return bool(end and rest.strip()) and line.lstrip()[:1] == b"[" and _is_json(line)


def _is_json(line: bytes) -> bool:
    """Whether a line is a value that is whole."""
    try:
        json_of(line)
    except orjson.JSONDecodeError:
        return False
    return True


class _Json(Form):
    """Values of JSON."""

    too_long: str

    def _row(self, number: int, held: Any) -> FileRow:
        """The object; why there is none, where it is none."""
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
    """A value a line."""

    too_long = "line"

    def pieces(self, stream: IO[bytes], *, whole: bool) -> Iterator[Piece]:
        """The lines that are not blank."""
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
    """The elements of an array."""

    too_long = "element"

    def pieces(self, stream: IO[bytes], *, whole: bool) -> Iterator[Piece]:
        """The elements, neighbours that hold no object as one; raises `BadArrayError` where the array breaks off.

        That is no error where it is expected.
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
        """What holds no object and stands before the element `after`: one row that is none, rather than thousands."""
        joined = odd[0] if len(odd) == 1 else b"[" + b",".join(odd) + b"]"
        return Piece(after - len(odd), Element(joined, len(joined)), self._row, len(odd))


class Chats(Form):
    """An export of one chat or of several: each message is a row, with what is told of its chat as `chat`."""

    def pieces(self, stream: IO[bytes], *, whole: bool) -> Iterator[Piece]:
        """The messages; raises `BadArrayError` where the export breaks off, unless that is expected."""
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
    """One object with an array of objects in it: each of these is a row.

    Args:
        name: Of the array.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def pieces(self, stream: IO[bytes], *, whole: bool) -> Iterator[Piece]:
        """The elements; raises `BadArrayError` where the text breaks off, unless that is expected."""
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
    """CSV: names in the first line, then cells; where an address stands there, names are `column_1`, `column_2` ….

    Args:
        delimiter: Between cells; None where the first line tells.
    """

    def __init__(self, delimiter: str | None = None) -> None:
        self._delimiter = delimiter
        self._names: list[str] = []

    def pieces(self, stream: IO[bytes], *, whole: bool) -> Iterator[Piece]:
        """The rows that are not blank; what is not UTF-8 spoils its own row, not the file."""
        text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
        try:
            lines = _text_lines(text, whole=whole)
            before = 0
            first = next(lines, "")
            if said := _SAID.fullmatch(first):
                self._delimiter, before, first = said[1], 1, next(lines, "")
            delimiter = self._delimiter or max(_DELIMITERS, key=first.count)
            yield from self._cells(csv.reader(chain([first], lines), delimiter=delimiter), before)
        finally:
            text.detach()  # the file is not ours to close

    def _cells(self, reader: Any, before: int) -> Iterator[Piece]:
        first: list[str] = next(reader, [])
        if any(_ADDRESS.match(cell) for cell in first):  # there are no names: it is a row
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
        """A row by its names; empty cells are None."""
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
    """Names of columns without blanks around them, each once; one that is empty or there already gets its place."""
    made: list[str] = []
    for place, name in enumerate(names, 1):
        stripped = name.strip()
        made.append(stripped if stripped and stripped not in made else f"{stripped or 'column'}_{place}")
    return made


def _text_lines(text: io.TextIOWrapper, *, whole: bool) -> Iterator[str]:
    """Lines; one that is too long has cells that are too long, and no more of it is kept."""
    while line := text.readline(_MAX_LINE):
        if len(line) == _MAX_LINE and not line.endswith("\n"):
            while (rest := text.readline(_MAX_LINE)) and not rest.endswith("\n"):
                pass
        elif whole and not line.endswith("\n"):
            return
        yield line


class _Rows:
    """Rows of a batch, made where one of them is asked for."""

    def __init__(self, batch: "pa.RecordBatch") -> None:
        self._batch = batch
        self._rows: list[RawRow] | None = None

    def row(self, number: int, place: int) -> FileRow:
        """The row at a place of the batch."""
        if self._rows is None:
            names, columns = self._batch.schema.names, map(_values, self._batch.columns)
            self._rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
        return FileRow(number, self._rows[place])


def _values(column: "pa.Array") -> list[Any]:
    """The values of a column; one that Python has no form for, as a year beyond 9999, as text or None."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":  # Python's times end at microseconds
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
    except (pa.ArrowException, ValueError):  # it lies inside of something
        return None
