"""A JSON Lines file that several processes read in parallel.

The file is distributed over its partitions in blocks of bytes. A line belongs to the block in which it begins, so each
partition finds its own lines independently, even while the file grows.
"""

import os
import time
from codecs import BOM_UTF8
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Final

import orjson

from connectors.part_names import is_moved, part_name
from connectors.sources.image_folder import SUFFIXES
from connectors.sources.parse import MAX_BYTES
from connectors.sources.source import Place, Position, Reader, Unit
from core.errors import SettingsError, WorldError
from core.json_text import json_of
from core.records import Message
from core.telemetry import log

_HEAD_BYTES: Final = 4096
"""Size of the head of a file, whose hash identifies it."""


_REST_SECONDS: Final = 5.0
"""A followed file that was replaced is abandoned after this time without new lines."""
_LOOKED_AT: Final = 20
"""Number of lines to search for an object; single broken lines become dead letters."""

_TO_LINES: Final = {
    b"[": "jq -c '.[]' FILE",
    b"{": "jq -c . FILE, or of a listing of Reddit's with jq -c '.data.children[].data' FILE",
}
"""How to convert a file with a single multi-line value, by its first line."""


def check_form(path: Path) -> None:
    """Raise `WorldError` if a file is a ZIP archive or a single multi-line JSON value."""
    with _opened(path) as file:
        line = file.readline(MAX_BYTES + 1)
    problem = "a ZIP archive: unpack it" if line.startswith(b"PK\x03\x04") else None
    if (how := _TO_LINES.get(line.removeprefix(BOM_UTF8).strip())) is not None:
        problem = f"one value over many lines: make a line of each post with {how}"
    if problem is not None:
        raise WorldError(f"{path} is {problem}; expected one post per line")


def check_lines(path: Path) -> None:
    """Raise `WorldError` if none of a file's first lines is an object or array; an empty file is valid."""
    with _opened(path) as file:
        lines = [file.readline(MAX_BYTES + 1).removeprefix(BOM_UTF8).strip() for _ in range(_LOOKED_AT)]
    found = [line for line in lines if line]
    if found and not any(line.startswith((b"{", b"[")) for line in found):
        raise WorldError(
            f"{path} holds no JSON in its first lines: expected one JSON object per line, with global_id and url; "
            "the name of a CSV file must end in .csv"
        )


def is_sidecar(path: Path) -> bool:
    """Check whether a JSON file is a sidecar of an image, as download tools write them, and not a post."""
    if path.suffix != ".json" or not path.is_file():
        return False
    pieces = path.name.split(".")
    names = [".".join(pieces[:length]) for length in range(2, len(pieces))]
    images = [path.with_name(it) for it in names if Path(it).suffix.lower() in SUFFIXES]
    images += [path.with_suffix(suffix) for suffix in SUFFIXES]
    if not any(it.is_file() for it in images):
        return False
    with _opened(path) as file:
        return b'"global_id"' not in file.read(2**16)


class LinesPlace(Place):
    """A file, identified by its content: by its head, and by the last line that was read."""

    def __init__(self, path: Path, parts: int, block_bytes: int, batch: int, *, follow: bool) -> None:
        self.name = part_name(path)
        self._path = path
        self._parts = parts
        self._block_bytes = block_bytes
        self._batch = batch
        self._follow = follow

    def check(self) -> None:
        """Raise `WorldError` if the file contains no JSON lines."""
        check_lines(self._path)

    def owns_positions(self, positions: Sequence[Position]) -> bool | None:
        """Return whether the file still contains what was read; None if nothing was, or if unknown."""
        with _opened(self._path) as file:
            found = [_holds(file, it) for it in positions]
        if False in found:
            return False
        return True if True in found else None

    def was_called(self, name: str, positions: Sequence[Position]) -> bool:
        """Return whether it contains what was read from another path.

        If positions of an older version cannot tell, it does if it has the same file name and the other is gone.
        """
        known = self.owns_positions(positions)
        return known or (known is None and bool(positions) and is_moved(Path(name), self._path))

    def part_numbers(self, positions: Sequence[Position]) -> Iterable[int]:
        """Return as many partitions as at the first start."""
        return range(self._dealt(positions)[0])

    def open(self, number: int, resume: Position | None, positions: Sequence[Position]) -> Reader:
        """Read the lines of a partition, with the number of partitions and block size of the first start."""
        parts, block_bytes = self._dealt(positions)
        return BlockReader(
            self._path,
            part=number,
            parts=parts,
            block_bytes=block_bytes,
            batch=self._batch,
            follow=self._follow,
            resume=resume,
        )

    def _dealt(self, positions: Sequence[Position]) -> tuple[int, int]:
        return next(((it["parts"], it["block_bytes"]) for it in positions), (self._parts, self._block_bytes))


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise WorldError(f"{path}: {error.strerror}") from None


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()


def _holds(file: BinaryIO, position: Position) -> bool | None:
    """Check whether a file contains what was read; None if an older position cannot tell and it is long enough."""
    if "read_to" not in position:  # not the position of a file of lines
        return False
    if position["read_to"] > os.fstat(file.fileno()).st_size:
        return False
    pieces = [position[name] for name in ("head", "last") if name in position]
    if not pieces:
        return None
    return all(_digest(os.pread(file.fileno(), length, start)) == digest for start, length, digest in pieces)


class BlockReader(Reader):
    """Reads the lines that begin in the blocks `part`, `part + parts`, … of a file."""

    def __init__(
        self, path: Path, *, part: int, parts: int, block_bytes: int, batch: int, follow: bool, resume: Position | None
    ) -> None:
        self._path = path
        self._parts = parts
        self._batch = batch
        self._block_bytes = block_bytes
        self._follow = follow
        self._ended = False
        self._is_waiting = False
        """Whether the last read found nothing new in a followed file."""
        self._replaced_at: float | None = None
        self._largest = 0
        """Size of the file at the last check."""
        self._file = _opened(path)
        self._head: tuple[int, int, str] = (0, 0, _digest(b""))
        self._last: tuple[int, int, str] = self._head
        self._last_line: tuple[int, bytes] | None = None
        self._block = part
        self._offset = part * block_bytes
        self._read_to = 0
        if resume is not None:
            try:
                self._restore(resume)
            except BaseException:
                self.close()
                raise

    def _restore(self, resume: Position) -> None:
        if (resume["parts"], resume["block_bytes"]) != (self._parts, self._block_bytes):
            raise SettingsError(
                f"the recovery folder was made with file_parts={resume['parts']} and "
                f"file_block_bytes={resume['block_bytes']}, now they are {self._parts} and {self._block_bytes}: "
                "set them back, or start again with an empty recovery folder"
            )
        if resume["read_to"] > self._size():
            raise WorldError(
                f"{self._path} is shorter than what was already read of it: it was replaced; "
                "start again with an empty recovery folder"
            )
        if _holds(self._file, resume) is False:
            raise WorldError(f"{self._path} no longer holds what was read of it: it was replaced while the flow began")
        self._block, self._offset, self._read_to = resume["block"], resume["offset"], resume["read_to"]
        if "head" in resume:
            self._head, self._last = tuple(resume["head"]), tuple(resume["last"])

    @property
    def turn(self) -> int:
        """Return the number of the next block."""
        return self._block

    @property
    def ended(self) -> bool:
        """Return whether the end of the file was reached and it is not followed."""
        return self._ended

    def lag(self) -> int:
        """Return the bytes up to the end of the file, including other partitions' blocks."""
        return max(0, self._size() - self._offset)

    def read(self) -> Unit | None:
        """Return the next lines of one block; a followed file ends once it was replaced."""
        if self._is_waiting and not self._holds_last():
            self._end_replaced()
            return None
        unit = self._read()
        self._is_waiting = self._follow and unit is None
        if self._is_waiting and self._is_replaced_for(_REST_SECONDS):
            self._end_replaced()
        return unit

    def _end_replaced(self) -> None:
        log.warning("a followed file was replaced; the next run reads what is there now", file=str(self._path))
        self._ended = True

    def _holds_last(self) -> bool:
        """Check whether the last line is still there, as it is not if the file was truncated and rewritten."""
        before, self._largest = self._largest, self._size()
        if self._largest < before:
            return False
        start, length, digest = self._seen_last()
        return _digest(os.pread(self._file.fileno(), length, start)) == digest

    def _is_replaced_for(self, seconds: float) -> bool:
        """Check whether another file has been at the path for so long; its writer may still append to the old one."""
        try:
            is_other = not os.path.samestat(self._path.stat(), os.fstat(self._file.fileno()))
        except OSError:  # there may be no file during the replacement
            is_other = False
        if not is_other:
            self._replaced_at = None
            return False
        self._replaced_at = self._replaced_at or time.monotonic()
        return time.monotonic() - self._replaced_at >= seconds

    def _read(self) -> Unit | None:
        messages: list[Message] = []
        turn = self._block
        while not messages and not self._ended:
            turn = self._block
            if not self._find_line_start():
                break
            end = (self._block + 1) * self._block_bytes
            while self._offset < end and len(messages) < self._batch and (line := self._line()) is not None:
                value, length = line
                text = value.removeprefix(BOM_UTF8) if self._offset == 0 else value
                if text and not text.isspace():
                    messages.append(Message(text.rstrip(b"\r\n"), f"file:{self._path}@{self._offset}"))
                self._last_line = self._offset, value
                self._offset += length
                self._read_to = self._offset
            if self._offset < end:  # the unit is full, or the file ends in this block
                self._ended = len(messages) < self._batch and not self._follow
                break
            self._leave_block()
        return Unit(messages, self._position(), turn) if messages else None

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _position(self) -> Position:
        return {
            "version": 1,
            "parts": self._parts,
            "block_bytes": self._block_bytes,
            "block": self._block,
            "offset": self._offset,
            "read_to": self._read_to,
            "head": self._seen_head(),
            "last": self._seen_last(),
        }

    def _seen_head(self) -> tuple[int, int, str]:
        """Return offset, length and hash of the file's head, as far as it was read."""
        length = min(_HEAD_BYTES, self._read_to)
        if self._head[1] < length:
            self._head = 0, length, _digest(os.pread(self._file.fileno(), length, 0))
        return self._head

    def _seen_last(self) -> tuple[int, int, str]:
        """Return offset, length and hash of the last line that was read."""
        if self._last_line is not None:
            start, line = self._last_line
            self._last = start, len(line), _digest(line)
            self._last_line = None
        return self._last

    def _size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def _leave_block(self) -> None:
        """Go to the partition's next block, skipping those that lie within one long line."""
        blocks = self._offset // self._block_bytes - self._block
        self._block += self._parts * -(-blocks // self._parts)
        self._offset = max(self._offset, self._block * self._block_bytes)

    def _find_line_start(self) -> bool:
        """Seek to the next line; at the start of a block, to the first line that begins in it."""
        if self._offset == 0 or self._offset != self._block * self._block_bytes:
            self._file.seek(self._offset)
            return True
        self._file.seek(self._offset - 1)
        skipped, complete = self._skip_line()
        if complete:
            self._offset += skipped - 1
        else:
            self._ended = not self._follow
        return complete

    def _line(self) -> tuple[bytes, int] | None:
        """Return the next line (cut if too long) and its length in the file; None at the end."""
        line = self._file.readline(MAX_BYTES + 1)
        length, complete = len(line), line.endswith(b"\n")
        if length > MAX_BYTES and not complete:
            skipped, complete = self._skip_line()
            length += skipped
        if not line or (not complete and (self._follow or not _is_whole(line))):
            self._file.seek(self._offset)
            if line and not self._follow:
                log.warning("the last line is incomplete; it will be read once it is complete", file=str(self._path))
            return None
        return line, length

    def _skip_line(self) -> tuple[int, bool]:
        """Skip the rest of a line; return the number of bytes, and whether its end was found."""
        skipped = 0
        while chunk := self._file.readline(2**16):
            skipped += len(chunk)
            if chunk.endswith(b"\n"):
                return skipped, True
        return skipped, False


def _is_whole(line: bytes) -> bool:
    """Check whether a line without a line break is already complete, or can never become a valid value."""
    text = line.removeprefix(BOM_UTF8).strip()
    if len(line) > MAX_BYTES or not text.startswith((b"{", b"[")):
        return True
    try:
        json_of(text)
    except orjson.JSONDecodeError:
        return False
    return True
