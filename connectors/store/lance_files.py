"""Reads all rows of a single Lance file, whichever version of a table refers to it, and whether or not it was deleted.

Lance compresses text, so its bytes do not show which values a file holds, and a table shows no deleted rows. A Lance
file contains its own schema. So a temporary table with a manifest that refers to this file alone has all of its rows.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

from connectors.store.lance_tables import LanceTables

_MAGIC: Final = b"LANC"
_FOOTER: Final = struct.Struct("<QQQIIHH4s")
"""Offsets of the columns' metadata, of the table of columns and of that of buffers; their numbers; format; magic."""
_BUFFER: Final = struct.Struct("<QQ")
"""Offset and size of a buffer; the first one describes the file."""
_MANIFEST_END: Final = struct.Struct("<QHH4s")
_SIZE: Final = struct.Struct("<I")
_MANIFEST_FORMAT: Final = (0, 2)
_FIRST_VERSION: Final = 1
_NAME: Final = "file"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_TEXT: Final = (b"string", b"large_string")
_MORE: Final = 0x80
"""Bit of a byte of a Protocol Buffers integer that is not its last."""


class UnknownFormatError(Exception):
    """A file is not a Lance file of a known format."""


class _Shape(NamedTuple):
    fields: list[bytes]
    """Messages of the schema's fields, which a manifest has in the same form."""
    columns: list[int]
    """Ids of the fields that are stored as columns, in the order of the columns."""
    rows: int
    format: tuple[int, int]
    has_text: bool


@contextmanager
def opened_file(path: Path) -> Iterator[Any]:
    """Open a Lance file as a LanceDB table; None if it holds no text.

    Raises `UnknownFormatError`, `OSError` or LanceDB's errors.
    """
    shape = _shape_of(path)
    if not shape.has_text:
        yield None
        return
    with TemporaryDirectory(prefix="memewax-") as folder:
        table = Path(folder, f"{_NAME}.lance")
        for name in ("data", "_versions"):
            (table / name).mkdir(parents=True)
        (table / "data" / path.name).symlink_to(path.resolve())
        (table / "_versions" / f"{_FIRST_VERSION}.manifest").write_bytes(_manifest(path.name, shape))
        yield LanceTables.at(Path(folder)).opened(_NAME)


def _shape_of(path: Path) -> _Shape:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        if size < _FOOTER.size:
            raise UnknownFormatError(f"{path} is too short for a Lance file")
        file.seek(size - _FOOTER.size)
        *_, buffers, _, columns, major, minor, magic = _FOOTER.unpack(file.read(_FOOTER.size))
        if magic != _MAGIC or buffers + _BUFFER.size > size:
            raise UnknownFormatError(f"{path} is not a Lance file")
        file.seek(buffers)
        start, length = _BUFFER.unpack(file.read(_BUFFER.size))
        if start + length > size:
            raise UnknownFormatError(f"{path} is not a Lance file")
        file.seek(start)
        data = file.read(length)
    parts = dict(_parts(data))
    fields = [it for number, it in _parts(parts.get(1, b"")) if number == 1]
    known = [dict(_parts(it)) for it in fields]
    parents = {it.get(4, 0) for it in known}
    ids = [it.get(3, 0) for it in known]
    stored = [it for it in ids if it not in parents]
    if len(stored) != columns:
        raise UnknownFormatError(f"{path} has {columns} columns for {len(stored)} fields")
    has_text = any(it.get(5) in _TEXT for it in known)
    return _Shape(fields, stored, parts.get(2, 0), (major, minor), has_text)


def _manifest(name: str, shape: _Shape) -> bytes:
    """Return the first manifest of a table with one file."""
    major, minor = shape.format
    places = range(len(shape.columns))
    packed = (b"".join(map(_integer, it)) for it in (shape.columns, places))
    file = _message(1, name.encode()) + b"".join(_message(number, it) for number, it in enumerate(packed, 2))
    file += _number(4, major) + _number(5, minor)
    fragment = _message(2, file) + _number(4, shape.rows)
    form = _message(1, b"lance") + _message(2, f"{major}.{minor}".encode())
    body = b"".join(_message(1, it) for it in shape.fields)
    body += _message(2, fragment) + _number(3, _FIRST_VERSION) + _message(15, form)
    return _SIZE.pack(len(body)) + body + _MANIFEST_END.pack(0, *_MANIFEST_FORMAT, _MAGIC)


def _parts(message: bytes) -> Iterator[tuple[int, Any]]:
    """Yield number and value of each field of a Protocol Buffers message."""
    place = 0
    while place < len(message):
        key, place = _integer_at(message, place)
        kind = key & 7
        if kind == _VARINT:
            value, place = _integer_at(message, place)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, place = _integer_at(message, place)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise UnknownFormatError(f"unknown type {kind} of a field")
        yield key >> 3, message[place : place + length]
        place += length


def _integer_at(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        try:
            byte = message[place]
        except IndexError:
            raise UnknownFormatError("a message is cut off") from None
        value |= (byte & ~_MORE) << shift
        place, shift = place + 1, shift + 7
        if not byte & _MORE:
            return value, place


def _integer(value: int) -> bytes:
    made = bytearray()
    while value >= _MORE:
        made.append(value & ~_MORE & 0xFF | _MORE)
        value >>= 7
    return bytes(made) + bytes([value])


def _number(field: int, value: int) -> bytes:
    return _integer(field << 3 | _VARINT) + _integer(value)


def _message(field: int, value: bytes) -> bytes:
    return _integer(field << 3 | _BYTES) + _integer(len(value)) + value
