"""The recovery folder of a flow: created atomically, and used by one run at a time."""

import sqlite3
import stat
import tempfile
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any, Final

from bytewax.recovery import init_db_dir

from connectors.endpoint import Endpoint
from connectors.part_names import is_moved
from connectors.sinks.owned_files import OwnedFiles
from connectors.writer_locks import PATIENCE, RECOVERY_LOCK, recovery_busy
from core.errors import WorldError
from core.locks import locked
from operators.recovered import keys_of, steps_in
from operators.recovery_check import check_recovery, check_room
from operators.recovery_migration import is_old, migrate

RECOVERY_PARTS: Final = 4
_FIRST: Final = "part-0.sqlite3"


def is_prepared(folder: Path) -> bool:
    """Check whether this is an initialised recovery folder, from which a flow would resume."""
    return (folder / _FIRST).exists()


def is_known(folder: Path, place: Endpoint[Any]) -> bool:
    """Check whether the flow of a recovery folder has written to a place; assumes so of stores and remote places."""
    if place.path is None or place.takes_rows or OwnedFiles(folder).has(place.path):
        return True
    path = place.path.resolve()
    keys = {Path(key) for step_id in steps_in(folder) for key in keys_of(folder, step_id)}
    return path in keys or any(is_moved(key, path) for key in keys)


def prepare_recovery(folder: Path) -> None:
    """Initialise a recovery folder if it is new, and migrate one of an older version."""
    if any(folder.glob("part-*.sqlite3")) and not _is_half_made(folder):
        check_recovery(folder)
        if is_old(folder):
            with lock_recovery(folder):
                migrate(folder)
        return
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        check_room(folder)
        with tempfile.TemporaryDirectory(dir=folder) as new:
            init_db_dir(new, RECOVERY_PARTS)  # type: ignore[no-untyped-call]
            # The partition that marks the folder as prepared comes last: the process may be killed here.
            for part in sorted(Path(new).iterdir(), key=lambda path: path.name == _FIRST):
                part.chmod(part.stat().st_mode & ~stat.S_IWOTH)
                part.replace(folder / part.name)
    except OSError as error:
        raise WorldError(f"{folder}: {error.strerror}") from None


def _is_half_made(folder: Path) -> bool:
    """Check whether an earlier initialisation was interrupted: the last partition is missing, and no flow has run."""
    if is_prepared(folder):
        return False
    try:
        return not any(_was_used(part) for part in folder.glob("part-*.sqlite3"))
    except sqlite3.Error:
        return False  # broken: `check_recovery` reports it


def _was_used(part: Path) -> bool:
    with closing(sqlite3.connect(f"file:{part}?mode=rw", uri=True)) as database:
        return database.execute("SELECT 1 FROM exs LIMIT 1").fetchone() is not None


def lock_recovery(folder: Path) -> AbstractContextManager[int]:
    """Lock a recovery folder; processes that inherit the lock hold it as long as they live."""
    return locked(folder / RECOVERY_LOCK, wait=PATIENCE, busy=recovery_busy(folder))
