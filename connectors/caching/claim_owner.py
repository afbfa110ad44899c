"""Who holds claims: a process is known by a file that it keeps locked for as long as it lives.

Not by its number: containers that share the folder number their processes each for itself.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_NAMED: Final = "owner-"


class ClaimOwner:
    """This process, among those that share a folder; whoever makes one holds the lock of the folder.

    Raises:
        OSError: where the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for it in folder.glob(f"{_NAMED}*"):
            _lives(it)
        self.name = os.urandom(8).hex()
        self._file = folder / f"{_NAMED}{self.name}"
        self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def lives(self, name: str) -> bool:
        """Whether the process of that name has not ended."""
        return name == self.name or _lives(self._folder / f"{_NAMED}{name}")

    def close(self) -> None:
        """Hold no claim any more."""
        self._file.unlink(missing_ok=True)
        os.close(self._descriptor)


def _lives(file: Path) -> bool:
    """Whether somebody has it locked; else it is removed."""
    try:
        descriptor = os.open(file, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        with suppress(OSError):
            file.unlink()
        return False
    finally:
        os.close(descriptor)
