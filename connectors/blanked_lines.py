"""In-place erasure of lines of a file: its length stays the same, so other processes can keep appending to it."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from core.errors import WorldError

_BLANK: Final = b'{"forgotten":true}'


def blank_lines(path: Path, is_meant: Callable[[bytes], bool], last_bytes: int | None = None) -> int:
    """Overwrite each complete line that matches with a blank one of the same length; return how many.

    Args:
        path: The file; one that does not exist has no lines.
        is_meant: Whether a line matches.
        last_bytes: Search only these bytes at the end of the file; by default all of it.

    Raises:
        WorldError: If the file cannot be read or written.
    """
    found = 0
    try:
        with path.open("r+b") as file:
            if last_bytes is not None and (before := path.stat().st_size - last_bytes) > 0:
                file.seek(before - 1)
                file.readline()  # skip the rest of a line
            while line := file.readline():
                if (
                    not line.endswith(b"\n")
                    or line.startswith(_BLANK)
                    or len(line) <= len(_BLANK)
                    or not is_meant(line)
                ):
                    continue
                end = file.tell()
                file.seek(end - len(line))
                file.write(_BLANK.ljust(len(line) - 1) + b"\n")
                file.seek(end)
                found += 1
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise WorldError(f"{path}: {error.strerror}") from None
    return found
