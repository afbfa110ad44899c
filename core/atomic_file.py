"""Files that are written whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def atomic_write(file: Path) -> Iterator[IO[bytes]]:
    """Write a file that is there when all of it is; raises `OSError`, and then it is as it was."""
    new = file.with_name(f"{file.name}.new")
    try:
        with new.open("wb") as out:
            yield out
        new.replace(file)
    except OSError:
        new.unlink(missing_ok=True)
        raise
