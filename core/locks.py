"""Inter-process locks on files and folders (`flock`)."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import Final

from core.errors import BusyError, WorldError

_TICK: Final = 0.1


@contextmanager
def locked(path: Path, *, wait: float = inf, busy: str = "") -> Iterator[int]:
    """Hold the lock of `path` during the block.

    Args:
        path: A folder, or a file, which is created if it does not exist.
        wait: Seconds to wait for the current holder; 0: do not wait.
        busy: Text of the error if the lock is held for longer.

    Yields:
        A file descriptor. A child process that inherits it also holds the lock as long as it lives.

    Raises:
        BusyError: if another process holds the lock for longer than `wait`.
        WorldError: if the file cannot be opened.
    """
    deadline = time.monotonic() + wait
    descriptor = _opened(path)
    try:
        while True:
            if wait == inf:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            elif not _taken(descriptor, deadline):
                raise BusyError(busy or f"{path} is in use by another process: wait until it has ended")
            if _is_still(path, descriptor):
                break
            stale, descriptor = descriptor, _opened(path)  # its last holder removed the file
            os.close(stale)
        yield descriptor
    finally:
        os.close(descriptor)


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise WorldError(f"{path}: {error.strerror}") from None


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _taken(descriptor: int, deadline: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_TICK)
        else:
            return True
