"""The bytes of a file as UTF-8: unpacked while they are read, from any Unicode encoding, without a byte order mark."""

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
"""Endings of names of packed files."""
_CHUNK: Final = 2**16
_LONG_WINDOW: Final[dict[int, int]] = {zstd.DecompressionParameter.window_log_max: 31}
"""As the dumps of Reddit are packed; memory is taken only where a file asks for it."""
_OPENERS: Final[dict[bytes, Callable[[IO[bytes]], Any]]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"\x28\xb5\x2f\xfd": lambda file: zstd.open(file, options=_LONG_WINDOW),
}
"""By what a packed file begins with."""
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins as UTF-16 does
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
"""Which of the first four bytes are zero, where a text without a mark begins with two letters of ASCII."""
UNPACKING_ERRORS: Final = (EOFError, OSError, lzma.LZMAError, zstd.ZstdError, zlib.error)
"""What reading raises where the packing breaks off or is broken."""


def is_plain(path: Path) -> bool:
    """Whether a file holds UTF-8 as it is, with or without a mark; raises `WorldError` where it cannot be read."""
    begin = _beginning(path)
    return _opener(begin) is None and _encoding(begin)[0] == "utf-8"


@contextmanager
def unpacked(path: Path) -> Iterator[tuple[io.BufferedReader, Callable[[], int]]]:
    """The bytes of a file as UTF-8, and how many bytes of the file itself were read.

    Raises `WorldError` where it cannot be opened, `UNPACKING_ERRORS` later.
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
    """What a text that begins so is written in, and the length of its mark."""
    for mark, encoding in _MARKS:
        if begin.startswith(mark):
            return encoding, len(mark)
    zeros = tuple(not byte for byte in begin[:4])
    return _ZEROS.get(zeros, "utf-8"), 0


class _Stream(io.BufferedReader):
    """Gives what there is: one that waits for more loses it where the packing breaks off."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(size) if size is None or size < 0 else super().read1(size)


class _Unpacking(io.RawIOBase):
    """What is unpacked, up to where the packing breaks off: that is raised after it."""

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
    """A text in another encoding, as UTF-8; what is none is replaced."""

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
