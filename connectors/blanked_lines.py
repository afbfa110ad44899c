"""Lines of a file that are blanked where they stand: the file keeps its length, and who appends to it goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from core.errors import WorldError

_BLANK: Final = b'{"forgotten":true}'


def blank_lines(path: Path, is_meant: Callable[[bytes], bool], last_bytes: int | None = None) -> int:
    """Write over each whole line that is meant with one of the same length that says nothing; gives how many.

    Of the last bytes of the file, or of all of it. Raises `WorldError`. A file that is not there has none.
    """
    found = 0
    try:
        with path.open("r+b") as file:
            if last_bytes is not None and (before := path.stat().st_size - last_bytes) > 0:
                file.seek(before - 1)
                file.readline()  # what is left of a line, if anything
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
