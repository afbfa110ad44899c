"""A file of JSON Lines that processes read side by side.

A file is dealt to its parts in blocks of bytes. A line belongs to the block in which it begins, so that each part finds
its own lines by itself, also while the file grows.
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
"""Of the beginning of a file, by which it is known again."""


_REST_SECONDS: Final = 5.0
"""A followed file that was replaced is left when nothing more has come of it for so long."""
_LOOKED_AT: Final = 20
"""Lines in which an object is looked for: some that are broken are dead letters."""

_TO_LINES: Final = {
    b"[": "jq -c '.[]' FILE",
    b"{": "jq -c . FILE, or of a listing of Reddit's with jq -c '.data.children[].data' FILE",
}
"""By what the first line of one value over many lines is."""


def check_form(path: Path) -> None:
    """Raise `WorldError` where a file is an archive, or one value over many lines."""
    with _opened(path) as file:
        line = file.readline(MAX_BYTES + 1)
    told = "a ZIP archive: unpack it" if line.startswith(b"PK\x03\x04") else None
    if (how := _TO_LINES.get(line.removeprefix(BOM_UTF8).strip())) is not None:
        told = f"one value over many lines: make a line of each post with {how}"
    if told is not None:
        raise WorldError(f"{path} is {told}; expected is a post a line")


def check_lines(path: Path) -> None:
    """Raise `WorldError` where none of the first lines of a file is an object or an array; an empty file is right."""
    with _opened(path) as file:
        lines = [file.readline(MAX_BYTES + 1).removeprefix(BOM_UTF8).strip() for _ in range(_LOOKED_AT)]
    found = [line for line in lines if line]
    if found and not any(line.startswith((b"{", b"[")) for line in found):
        raise WorldError(
            f"{path} holds no JSON in its first lines: expected is a JSON object a line, with global_id and url; "
            "the name of a CSV ends in .csv"
        )


def is_sidecar(path: Path) -> bool:
    """Whether a JSON file tells of an image beside it, as download tools write them, and is no post."""
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
    """A file, known again by its content: by its beginning, and by the last line that was read of it."""

    def __init__(self, path: Path, parts: int, block_bytes: int, batch: int, *, follow: bool) -> None:
        self.name = part_name(path)
        self._path = path
        self._parts = parts
        self._block_bytes = block_bytes
        self._batch = batch
        self._follow = follow

    def check(self) -> None:
        """Raise `WorldError` where the file holds no lines of JSON."""
        check_lines(self._path)

    def knows(self, positions: Sequence[Position]) -> bool | None:
        """Whether the file still holds what was read; None where nothing was, or an older version did not say."""
        with _opened(self._path) as file:
            found = [_holds(file, it) for it in positions]
        if False in found:
            return False
        return True if True in found else None

    def was(self, name: str, positions: Sequence[Position]) -> bool:
        """Whether it holds what was read of a file of another path.

        Where positions of an older version do not say, a file of the same name is, if the other one is gone.
        """
        known = self.knows(positions)
        return known or (known is None and bool(positions) and is_moved(Path(name), self._path))

    def numbers(self, positions: Sequence[Position]) -> Iterable[int]:
        """As many as it was dealt to at first."""
        return range(self._dealt(positions)[0])

    def open(self, number: int, resume: Position | None, positions: Sequence[Position]) -> Reader:
        """Read the lines of a part, whole blocks of them at a time, dealt as at first."""
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
    """Whether a file holds what was read of it; None where the position does not say, and it is long enough."""
    if "read_to" not in position:  # of what is no file of lines
        return False
    if position["read_to"] > os.fstat(file.fileno()).st_size:
        return False
    pieces = [position[name] for name in ("head", "last") if name in position]
    if not pieces:
        return None
    return all(_digest(os.pread(file.fileno(), length, start)) == digest for start, length, digest in pieces)


class BlockReader(Reader):
    """The lines that begin in the blocks `part`, `part + parts`, … of a file."""

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
        """Whether the last look found nothing more in a file that is followed."""
        self._replaced_at: float | None = None
        self._largest = 0
        """Bytes that it had at the last look."""
        self._file = _opened(path)
        self._head: tuple[int, int, str] = (0, 0, _digest(b""))
        self._last: tuple[int, int, str] = self._head
        self._last_line: tuple[int, bytes] | None = None
        self._block = part
        self._offset = part * block_bytes
        self._read_to = 0
        if resume is not None:
            try:
                self._go_on(resume)
            except BaseException:
                self.close()
                raise

    def _go_on(self, resume: Position) -> None:
        if (resume["parts"], resume["block_bytes"]) != (self._parts, self._block_bytes):
            raise SettingsError(
                f"the recovery folder was made with file_parts={resume['parts']} and "
                f"file_block_bytes={resume['block_bytes']}, now they are {self._parts} and {self._block_bytes}: "
                "set them back, or begin anew with an empty recovery folder"
            )
        if resume["read_to"] > self._size():
            raise WorldError(
                f"{self._path} is shorter than what was already read of it: it was replaced; "
                "begin anew with an empty recovery folder"
            )
        if _holds(self._file, resume) is False:
            raise WorldError(f"{self._path} no longer holds what was read of it: it was replaced while the flow began")
        self._block, self._offset, self._read_to = resume["block"], resume["offset"], resume["read_to"]
        if "head" in resume:
            self._head, self._last = tuple(resume["head"]), tuple(resume["last"])

    @property
    def turn(self) -> int:
        """Number of the block to read next."""
        return self._block

    @property
    def ended(self) -> bool:
        """Whether the end of the file was met and nobody waits for more."""
        return self._ended

    def lag(self) -> int:
        """Bytes of the file from here to its end, other parts' blocks among them."""
        return max(0, self._size() - self._offset)

    def read(self) -> Unit | None:
        """The next few lines of one block; a followed file that was replaced has an end."""
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
        """Whether the last line that was read is still there: a file that was emptied and written anew has another."""
        before, self._largest = self._largest, self._size()
        if self._largest < before:
            return False
        start, length, digest = self._seen_last()
        return _digest(os.pread(self._file.fileno(), length, start)) == digest

    def _is_replaced_for(self, seconds: float) -> bool:
        """Whether another file has had the path for so long: who writes may go on with the old one for a moment."""
        try:
            is_other = not os.path.samestat(self._path.stat(), os.fstat(self._file.fileno()))
        except OSError:  # between two files there may be none
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
        """The beginning of the file, as far as it was read: where, how long, and its hash."""
        length = min(_HEAD_BYTES, self._read_to)
        if self._head[1] < length:
            self._head = 0, length, _digest(os.pread(self._file.fileno(), length, 0))
        return self._head

    def _seen_last(self) -> tuple[int, int, str]:
        """The last line that was read: where, how long, and its hash."""
        if self._last_line is not None:
            start, line = self._last_line
            self._last = start, len(line), _digest(line)
            self._last_line = None
        return self._last

    def _size(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    def _leave_block(self) -> None:
        """Go to the part's next block, beyond those that lie within one long line."""
        blocks = self._offset // self._block_bytes - self._block
        self._block += self._parts * -(-blocks // self._parts)
        self._offset = max(self._offset, self._block * self._block_bytes)

    def _find_line_start(self) -> bool:
        """Seek to the next line; at the start of a block that is the first one that does not begin before it."""
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
        """The next line (of one too long, its beginning) and its length in the file; None at the end."""
        line = self._file.readline(MAX_BYTES + 1)
        length, complete = len(line), line.endswith(b"\n")
        if length > MAX_BYTES and not complete:
            skipped, complete = self._skip_line()
            length += skipped
        if not line or (not complete and (self._follow or not _is_whole(line))):
            self._file.seek(self._offset)
            if line and not self._follow:
                log.warning("the last line is half written, and is read when it is whole", file=str(self._path))
            return None
        return line, length

    def _skip_line(self) -> tuple[int, bool]:
        """Pass over the rest of a line: bytes passed, and whether its end was there."""
        skipped = 0
        while chunk := self._file.readline(2**16):
            skipped += len(chunk)
            if chunk.endswith(b"\n"):
                return skipped, True
        return skipped, False


def _is_whole(line: bytes) -> bool:
    """Whether a line without its end is a value all the same, or will never be one."""
    text = line.removeprefix(BOM_UTF8).strip()
    if len(line) > MAX_BYTES or not text.startswith((b"{", b"[")):
        return True
    try:
        json_of(text)
    except orjson.JSONDecodeError:
        return False
    return True
