"""Files as streams of UTF-8: decompressed on the fly, decoded from any Unicode encoding, without byte order mark."""

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from backports import zstd

from core.errors import WorldError

PACKINGS: Final = (".gz", ".bz2", ".xz", ".zst")
"""Extensions of compressed files."""
_CHUNK: Final = 2**16
_LONG_WINDOW: Final[dict[int, int]] = {zstd.DecompressionParameter.window_log_max: 31}
"""For dumps of Reddit, compressed with a 2 GiB window; memory is allocated only if a file needs it."""
_OPENERS: Final[dict[bytes, Callable[[IO[bytes]], Any]]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"\x28\xb5\x2f\xfd": lambda file: zstd.open(file, options=_LONG_WINDOW),
}
"""Decompressors by magic bytes."""
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins with the mark of UTF-16, so it comes first
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_ZEROS: Final[dict[tuple[bool, ...], str]] = {
    (True, True, True, False): "utf-32-be",
    (False, True, True, True): "utf-32-le",
    (True, False, True, False): "utf-16-be",
    (False, True, False, True): "utf-16-le",
}
"""Encodings by which of the first four bytes are zero, for text without a mark that begins with ASCII."""
UNPACKING_ERRORS: Final = (EOFError, OSError, lzma.LZMAError, zstd.ZstdError, zlib.error)
"""What reading raises if compressed data is truncated or corrupt."""


def is_plain(path: Path) -> bool:
    """Check whether a file is uncompressed UTF-8, with or without a mark; raises `WorldError` if it is unreadable."""
    begin = _beginning(path)
    return _opener(begin) is None and _encoding(begin)[0] == "utf-8"


@contextmanager
def unpacked(path: Path) -> Iterator[tuple[io.BufferedReader, Callable[[], int]]]:
    """Open a file as a stream of UTF-8; also yield a function that returns the bytes read of the file itself.

    Raises `WorldError` if it cannot be opened; reading may raise `UNPACKING_ERRORS`.
    """
    opener = _opener(_beginning(path))
    with _opened(path) as file:
        stream = _Stream(file if opener is None else _Unpacking(opener(file)), _CHUNK)
        encoding, mark = _encoding(stream.peek(4)[:4])
        stream.read(mark)
        yield stream if encoding == "utf-8" else _Stream(_Recoded(stream, encoding), _CHUNK), file.tell


def _opened(path: Path) -> io.FileIO:
    try:
        return io.FileIO(path)
    except OSError as error:
        raise WorldError(f"{path}: {error.strerror}") from None


def _beginning(path: Path) -> bytes:
    with _opened(path) as file:
        return file.read(8)


def _opener(begin: bytes) -> Callable[[IO[bytes]], Any] | None:
    return next((opener for magic, opener in _OPENERS.items() if begin.startswith(magic)), None)


def _encoding(begin: bytes) -> tuple[str, int]:
    """Return the encoding of a text by its first bytes, and the length of its byte order mark."""
    for mark, encoding in _MARKS:
        if begin.startswith(mark):
            return encoding, len(mark)
    zeros = tuple(not byte for byte in begin[:4])
    return _ZEROS.get(zeros, "utf-8"), 0


class _Stream(io.BufferedReader):
    """A buffered reader that returns what is available: waiting for more would lose it if the data is truncated."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size) if size is None or size < 0 else super().read1(size)


class _Unpacking(io.RawIOBase):
    """Decompressed data; an error is raised only after all data before it was returned."""

    def __init__(self, packed: Any) -> None:
        self._packed = packed
        self._error: Exception | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._error is not None:
            raise self._error
        size = 0
        while size < len(buffer):
            try:
                chunk = self._packed.read1(len(buffer) - size)
            except UNPACKING_ERRORS as error:
                if not size:
                    raise
                self._error = error
                break
            if not chunk:
                break
            buffer[size : size + len(chunk)] = chunk
            size += len(chunk)
        return size


class _Recoded(io.RawIOBase):
    """Text in another encoding, re-encoded as UTF-8; invalid characters are replaced."""

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            chunk = self._stream.read(_CHUNK)
            self._left = self._decoder.decode(chunk, final=not chunk).encode(errors="replace")
            if not chunk:
                break
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size
