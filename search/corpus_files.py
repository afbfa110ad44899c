"""Rows of a file, one at a time: a JSON array, JSON lines, CSV or Parquet, packed by gzip or not."""

import csv
import gzip
import io
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from core.errors import WorldError, first_line
from core.json_array import ArraySplitter, BadArrayError

FORMATS: Final = (".json", ".jsonl", ".ndjson", ".csv", ".parquet")
_MAX_LINE: Final = 2**20
"""A longer line is no row."""
_BATCH: Final = 1024
_CHUNK: Final = 2**16

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


class RowFile:
    """A file of rows; iterating reads it once more from its start, in bounded memory."""

    def __init__(self, path: Path) -> None:
        """Raises `WorldError` where it is not there or of no known format."""
        suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
        self._packed = suffixes[-1:] == [".gz"]
        self._format = (suffixes[:-1] if self._packed else suffixes)[-1:]
        if not path.is_file():
            raise WorldError(f"there is no file {path}")
        if not self._format or self._format[0] not in FORMATS or (self._packed and self._format == [".parquet"]):
            raise WorldError(f"{path}: expected a file of {', '.join(FORMATS)}, all but the last also with .gz")
        self.path = path
        self.size = path.stat().st_size
        self.done = 0
        """Bytes that were read, of `size`."""

    def __iter__(self) -> Iterator[FileRow]:
        """The rows in order; raises `WorldError` where the file breaks off or is not what its name says."""
        self.done = 0
        try:
            if self._format == [".parquet"]:
                yield from self._parquet()
            else:
                read = {".json": _array, ".csv": _csv}.get(self._format[0], _lines)
                with self.path.open("rb") as file, self._unpacked(file) as stream:
                    for row in read(stream):
                        self.done = file.tell()
                        yield row
        except (EOFError, gzip.BadGzipFile, zlib.error, BadArrayError, pa.ArrowException, OSError) as error:
            raise WorldError(f"{self.path} cannot be read to its end: {first_line(error)}") from None
        self.done = self.size

    def _unpacked(self, file: IO[bytes]) -> IO[bytes]:
        return gzip.open(file) if self._packed else file  # type: ignore[return-value]

    def _parquet(self) -> Iterator[FileRow]:
        number = 0
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(_BATCH):
                for row in batch.to_pylist():
                    number += 1
                    self.done = self.size * number // file.metadata.num_rows
                    yield FileRow(number, row)


def _lines(stream: IO[bytes]) -> Iterator[FileRow]:
    number = 0
    while line := stream.readline(_MAX_LINE):
        number += 1
        if number == 1:
            line = line.removeprefix(BOM_UTF8)
        if len(line) == _MAX_LINE and not line.endswith(b"\n"):
            while (rest := stream.readline(_MAX_LINE)) and not rest.endswith(b"\n"):
                pass
            yield FileRow(number, None, f"the line is longer than {_MAX_LINE} bytes", line[:1000])
            continue
        if not line.strip():
            continue
        yield _parsed(number, line)


def _array(stream: IO[bytes]) -> Iterator[FileRow]:
    splitter = ArraySplitter(_MAX_LINE)
    number = 0
    while chunk := stream.read(_CHUNK):
        if not number:
            chunk = chunk.removeprefix(BOM_UTF8)
        for data, size in splitter.feed(chunk):
            number += 1
            if size > _MAX_LINE:
                yield FileRow(number, None, f"the element is longer than {_MAX_LINE} bytes", data)
                continue
            yield _parsed(number, data)
    splitter.end()


def _parsed(number: int, raw: bytes) -> FileRow:
    try:
        row = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        return FileRow(number, None, f"not JSON in UTF-8: {error}", raw)
    return _checked(number, row, raw)


def _checked(number: int, row: Any, raw: bytes) -> FileRow:
    if isinstance(row, dict):
        return FileRow(number, row, raw=raw)
    return FileRow(number, None, "expected an object of columns", raw[:1000])


def _csv(stream: IO[bytes]) -> Iterator[FileRow]:
    # what is not UTF-8 spoils its own row, not the file
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        yield from _cells(csv.reader(_text_lines(text)))
    finally:
        text.detach()  # the file is not ours to close


def _text_lines(text: io.TextIOWrapper) -> Iterator[str]:
    """Lines; one that is too long has cells that are too long, and no more of it is kept."""
    while line := text.readline(_MAX_LINE):
        if len(line) == _MAX_LINE and not line.endswith("\n"):
            while (rest := text.readline(_MAX_LINE)) and not rest.endswith("\n"):
                pass
        yield line


def _cells(reader: Any) -> Iterator[FileRow]:
    names: list[str] = next(reader, [])
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield FileRow(reader.line_num, None, f"not CSV: {error}")
            continue
        if not cells:
            continue
        raw = ",".join(cells).encode(errors="surrogateescape")
        if len(cells) != len(names):
            yield FileRow(reader.line_num, None, f"expected {len(names)} cells, found {len(cells)}", raw)
        elif any("\udc80" <= letter <= "\udcff" for cell in cells if not cell.isascii() for letter in cell):
            yield FileRow(reader.line_num, None, "not UTF-8", raw)
        else:
            yield FileRow(reader.line_num, {name: cell or None for name, cell in zip(names, cells, strict=True)})
