"""Posts from JSON Lines: one file that processes read side by side, or a folder of files.

A file is dealt to its parts in blocks of bytes. A line belongs to the block in which it begins, so that each part finds
its own lines by itself, also while the file grows.
"""

import os
from pathlib import Path
from typing import BinaryIO, Final

from connectors.part_names import part_name
from connectors.sources.parse import MAX_BYTES
from connectors.sources.source import Position, Reader, Source, Unit
from core.errors import SettingsError, WorldError
from core.records import Message

ENDINGS: Final = (".jsonl", ".ndjson", ".json")


def holds_files(folder: Path) -> bool:
    """Whether there is a file of JSON Lines somewhere below `folder`."""
    return any(path.name.endswith(ENDINGS) for path in folder.rglob("*"))


class JsonLines(Source):
    """A JSON Lines file, or every such file below a folder; in a folder each file is one part.

    Args:
        path: The file or the folder.
        follow: Wait for more at the end.
        parts: Of a file; fixed, as `block_bytes` is, for the life of a recovery folder.
        block_bytes: A file is dealt to its parts in blocks of this size.
        batch: Lines of a unit, at most.
    """

    def __init__(self, path: Path, *, follow: bool, parts: int, block_bytes: int, batch: int) -> None:
        self._path = path.resolve()
        self._follow = follow
        self._parts = parts
        self._block_bytes = block_bytes
        self._batch = batch

    def parts(self) -> list[str]:
        """`<path>#<part>`; raises `WorldError` where there is no such file or none in the folder."""
        if self._path.is_dir():
            files = sorted(path for path in self._path.rglob("*") if path.name.endswith(ENDINGS) and path.is_file())
            if not files:
                raise WorldError(f"no {', '.join(ENDINGS)} file and no picture in {self._path}")
            return [f"{part_name(path)}#0" for path in files]
        if not self._path.is_file():
            raise WorldError(f"no such file: {self._path}")
        return [f"{part_name(self._path)}#{part}" for part in range(self._parts)]

    def open(self, part: str, resume: Position | None) -> Reader:
        """Read the lines of `part`, whole blocks of them at a time."""
        name, _, number = part.rpartition("#")
        return BlockReader(
            Path(name),
            part=int(number),
            parts=1 if self._path.is_dir() else self._parts,
            block_bytes=self._block_bytes,
            batch=self._batch,
            follow=self._follow,
            resume=resume,
        )


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
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise WorldError(f"{path}: {error.strerror}") from None
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
        self._block, self._offset, self._read_to = resume["block"], resume["offset"], resume["read_to"]

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
        """The next few lines of one block."""
        messages: list[Message] = []
        turn = self._block
        while not messages and not self._ended:
            turn = self._block
            if not self._find_line_start():
                break
            end = (self._block + 1) * self._block_bytes
            while self._offset < end and len(messages) < self._batch and (line := self._line()) is not None:
                value, length = line
                if not value.isspace():
                    messages.append(Message(value.rstrip(b"\r\n"), f"file:{self._path}@{self._offset}"))
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
        }

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
        if not line or (self._follow and not complete):
            self._file.seek(self._offset)
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
