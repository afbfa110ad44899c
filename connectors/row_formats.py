"""Formats of rows: JSON Lines, JSON arrays, exports of chats, arrays in an object, and CSV dialects.

Each format splits a stream of UTF-8 into unparsed rows, so that rows can be skipped without parsing them.
"""

import csv
import io
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import IO, Any, Final

import orjson

from connectors.wrapped_array import elements_in
from core.errors import first_line
from core.json_array import ArraySplitter, BadArrayError, Element
from core.json_text import json_of

_MAX_LINE: Final = 2**20
"""Maximum bytes of a line; a longer one is not a row."""
_TOGETHER: Final = 2**15
"""Bytes of adjacent invalid elements that are reported as one row, at most."""
_CHUNK: Final = 2**16
_MOST_OF_CHAT: Final = 50
"""Maximum fields of a chat to keep."""
_ADDRESS: Final = re.compile(r"\s*https?://", re.IGNORECASE)
DELIMITERS: Final = ("\t", ";", ",", "|")
SEPARATOR_LINE: Final = re.compile(r'"?sep=(.)"?\r?\n?')
"""First line of a CSV file of Excel, which gives the delimiter."""

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
class UnparsedRow:
    """A row that was split from its stream and is not parsed yet."""

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


class RowFormat(ABC):
    """A format of rows."""

    @abstractmethod
    def unparsed_rows(self, stream: IO[bytes], *, whole: bool) -> Iterator[UnparsedRow]:
        """Yield the unparsed rows; with `whole`, omit a last line without a newline, which may be incomplete."""


class _Json(RowFormat):
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

    def unparsed_rows(self, stream: IO[bytes], *, whole: bool) -> Iterator[UnparsedRow]:
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
                yield UnparsedRow(number, Element(line, size), self._row)


class Array(_Json):
    """A JSON array: each element is a row."""

    too_long = "element"

    def unparsed_rows(self, stream: IO[bytes], *, whole: bool) -> Iterator[UnparsedRow]:
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
                    yield UnparsedRow(number, element, self._row)
        if odd:
            yield self._together(number + 1, odd)
        if not whole:
            splitter.end()

    def _together(self, after: int, odd: list[bytes]) -> UnparsedRow:
        """Combine the elements without an object before `after` into one invalid row, instead of thousands."""
        joined = odd[0] if len(odd) == 1 else b"[" + b",".join(odd) + b"]"
        return UnparsedRow(after - len(odd), Element(joined, len(joined)), self._row, len(odd))


class Chats(RowFormat):
    """An export of one or several chats: each message is a row, with the fields of its chat as `chat`."""

    def unparsed_rows(self, stream: IO[bytes], *, whole: bool) -> Iterator[UnparsedRow]:
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
                        yield UnparsedRow(number, {"chat": dict(chat), **message.value}, _chat_row)
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


class Wrapped(RowFormat):
    """An object with an array of objects in it: each of these is a row.

    Args:
        name: Dotted name of the array.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def unparsed_rows(self, stream: IO[bytes], *, whole: bool) -> Iterator[UnparsedRow]:
        """Yield the elements; raises `BadArrayError` if the text is truncated, unless `whole`."""
        try:
            for number, it in enumerate(elements_in(stream, self._name), 1):
                yield UnparsedRow(number, it, _wrapped_row)
        except ValueError as error:
            if not whole:
                raise BadArrayError(first_line(error)) from None


def _wrapped_row(number: int, held: Any) -> FileRow:
    if isinstance(held, dict):
        return FileRow(number, held)
    return FileRow(number, None, "expected an object of columns", repr(held)[:1000].encode(errors="replace"))


def _chat_row(number: int, held: Any) -> FileRow:
    return FileRow(number, held)


class Delimited(RowFormat):
    """CSV with names in the first line; if that has a URL, it is a row and names are `column_1`, `column_2` ….

    Args:
        delimiter: Delimiter of cells; by default detected from the first line.
    """

    def __init__(self, delimiter: str | None = None) -> None:
        self._delimiter = delimiter
        self._names: list[str] = []

    def unparsed_rows(self, stream: IO[bytes], *, whole: bool) -> Iterator[UnparsedRow]:
        """Yield the rows that are not blank; invalid UTF-8 makes only its own row invalid, not the file."""
        text = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
        try:
            lines = _text_lines(text, whole=whole)
            before = 0
            first = next(lines, "")
            if separator := SEPARATOR_LINE.fullmatch(first):
                self._delimiter, before, first = separator[1], 1, next(lines, "")
            delimiter = self._delimiter or max(DELIMITERS, key=first.count)
            yield from self._cells(csv.reader(chain([first], lines), delimiter=delimiter), before)
        finally:
            text.detach()  # the caller closes the file

    def _cells(self, reader: Any, before: int) -> Iterator[UnparsedRow]:
        first: list[str] = next(reader, [])
        if any(_ADDRESS.match(cell) for cell in first):  # no names: the first line is a row
            self._names = _distinct([""] * len(first))
            yield UnparsedRow(reader.line_num + before, first, self._row)
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
                yield UnparsedRow(reader.line_num + before, cells, self._row)

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
