"""Locks that exclude a second writer for as long as any process of a flow lives.

They are locks of the operating system, so they vanish with the processes, however these end. All processes of a flow
are one writer: the command that starts them holds the locks and passes them on; without such a command, the first
process holds them.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from connectors.endpoint import Endpoint
from core.errors import WorldError
from core.launch import Launch
from core.locks import locked

RECORDS: Final = "posts"
"""Name of the writer of a store's posts and clusters."""
ANSWERS: Final = "answers"
"""Name of the writer of a store's answers."""
RECOVERY_LOCK: Final = "lock"
"""Lock file in a recovery folder."""
HANDED_ON: Final = "_MEMEWAX_LOCKED"
"""Environment variable of processes whose parent holds the locks."""
PATIENCE: Final = 10.0
"""Seconds to wait for a lock: processes of a killed run need a moment to notice and exit."""

_kept: Final = ExitStack()
_files: Final[set[Path]] = set()
"""Files that this process holds locked for as long as it lives."""


def lock_files(places: Iterable[Endpoint[Any]], writer: str = RECORDS) -> dict[Path, str]:
    """Return the files to lock for writing at `places`, each with the error text if another run holds it."""
    files = {file.resolve(): it for it in places if (file := it.lock_file(writer)) is not None}
    return {
        file: f"{it.address} is being written by another run: wait until it ends, or name another place"
        for file, it in sorted(files.items())
    }


@contextmanager
def all_locked(files: Mapping[Path, str], wait: float | None = None) -> Iterator[list[int]]:
    """Lock files for the block; creates their folders.

    Args:
        files: Files with the error text if another process holds the lock.
        wait: Seconds to wait for a lock; by default `PATIENCE`.

    Yields:
        File descriptors. A process that inherits them holds the locks too.

    Raises:
        BusyError: If another process holds a lock for longer.
        WorldError: If a file cannot be created.
    """
    with ExitStack() as stack:
        seconds = PATIENCE if wait is None else wait
        yield [_enter(stack, file, busy, seconds) for file, busy in files.items()]


def keep_locked(files: Mapping[Path, str], launch: Launch, environment: Mapping[str, str]) -> None:
    """Lock files for as long as this process lives, if it is the first of a flow that no command started.

    Args:
        files: Files with the error text if another process holds the lock.
        launch: Launch of this process.
        environment: Environment variables, which tell whether a command holds the locks.

    Raises:
        BusyError: If another process holds a lock for longer.
        WorldError: If a file cannot be created.
    """
    folder = launch.recovery
    if HANDED_ON in environment or launch.process > 0:
        return
    if folder is not None and folder.is_dir():
        files = {**files, folder.resolve() / RECOVERY_LOCK: recovery_busy(folder)}
    for file, busy in files.items():
        if file not in _files:
            _enter(_kept, file, busy, PATIENCE)
            _files.add(file)


def recovery_busy(folder: Path) -> str:
    """Return the error text if another run holds a recovery folder."""
    return f"{folder} is in use by another run: wait until it ends, or name another --recovery folder"


def _enter(stack: ExitStack, file: Path, busy: str, wait: float) -> int:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorldError(f"cannot create {file.parent}: {error.strerror}") from None
    return stack.enter_context(locked(file, wait=wait, busy=busy))
