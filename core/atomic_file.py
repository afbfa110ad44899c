"""Atomic file writes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def atomic_write(file: Path) -> Iterator[IO[bytes]]:
    """Write a file atomically: it is replaced only once all of it is written.

    Raises:
        OSError: the file is then unchanged.
    """
    new = file.with_name(f"{file.name}.new")
    try:
        with new.open("wb") as out:
            yield out
        new.replace(file)
    except OSError:
        new.unlink(missing_ok=True)
        raise
