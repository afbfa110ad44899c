"""Owners of claims: a process is identified by a file that it keeps locked while it lives.

Process ids would not do, since containers that share the folder number their processes independently.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_NAMED: Final = "owner-"


class ClaimOwner:
    """This process, among those that share a folder; hold the folder's lock while creating one.

    Raises:
        OSError: if the folder is not writable.
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
        """Check whether the process with this name is alive."""
        return name == self.name or _lives(self._folder / f"{_NAMED}{name}")

    def close(self) -> None:
        """Give up this identity, and with it all claims."""
        self._file.unlink(missing_ok=True)
        os.close(self._descriptor)


def _lives(file: Path) -> bool:
    """Check whether a process has the file locked; remove it if not."""
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
