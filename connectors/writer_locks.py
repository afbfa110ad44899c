"""One writer: what a flow writes is locked for as long as any of its processes lives.

The locks are those of the operating system, so that they vanish with the processes, however these end. A flow of
several processes is one writer: the command that starts them has the locks and hands them on, and where no command
does, the first process has them.
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
"""The writer of a store's posts and clusters."""
ANSWERS: Final = "answers"
"""The writer of its answers."""
RECOVERY_LOCK: Final = "lock"
"""File in a recovery folder."""
HANDED_ON: Final = "_MEMEWAX_LOCKED"
"""Variable that is set in processes whose parent has the locks."""
PATIENCE: Final = 10.0
"""Seconds; processes of a run that was killed need a moment to notice."""

_kept: Final = ExitStack()
_files: Final[set[Path]] = set()
"""Those that this process has for as long as it lives."""


def lock_files(places: Iterable[Endpoint[Any]], writer: str = RECORDS) -> dict[Path, str]:
    """The files that are to be locked to write at `places`, each with what is said where another has it."""
    files = {file.resolve(): it for it in places if (file := it.lock_file(writer)) is not None}
    return {
        file: f"{it.address} is being written by another run: wait for its end, or name another place"
        for file, it in sorted(files.items())
    }


@contextmanager
def all_locked(files: Mapping[Path, str], wait: float | None = None) -> Iterator[list[int]]:
    """Hold locks on files for the block; their folders are made.

    Args:
        files: Each with the text of the error where another has it.
        wait: Seconds to wait for whoever has one; `PATIENCE` where it is None.

    Yields:
        File descriptors. A process that inherits them holds the locks too.

    Raises:
        BusyError: where another has one for longer.
        WorldError: where a file cannot be made.
    """
    with ExitStack() as stack:
        seconds = PATIENCE if wait is None else wait
        yield [_enter(stack, file, busy, seconds) for file, busy in files.items()]


def keep_locked(files: Mapping[Path, str], launch: Launch, environment: Mapping[str, str]) -> None:
    """Hold locks for as long as this process lives, if it is the first of a flow that no command started.

    Args:
        files: Each with the text of the error where another has it.
        launch: Of this process.
        environment: Says whether a command has the locks.

    Raises:
        BusyError: where another has one for longer.
        WorldError: where a file cannot be made.
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
    """What is said where another run has a recovery folder."""
    return f"{folder} is in use by a run that goes on: wait for its end, or name another --recovery folder"


def _enter(stack: ExitStack, file: Path, busy: str, wait: float) -> int:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorldError(f"{file.parent}: {error.strerror}") from None
    return stack.enter_context(locked(file, wait=wait, busy=busy))
