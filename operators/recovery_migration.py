"""Migrates recovery folders of version 0.1, whose steps were not nested and so had other ids.

Bytewax looks up the state of a step by its full id, and silently ignores states of unknown ids: an old folder would
start over. So each folder is migrated once, before Bytewax opens it. The id also determines which part keeps a
state. If two parts had the same state, one would be stale, so states are moved to the part where Bytewax keeps them.

The old parts are first copied to a backup folder beside it, which stays. A migration that was killed restarts from it.
"""

import re
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any, Final

from core.errors import WorldError
from core.locks import locked
from core.telemetry import log
from operators.recovery_check import is_whole
from operators.recovery_places import parts_of, places_of, states_in

_BACKUP: Final = "before-nested-steps"
_BEGUN: Final = "migration-begun"
"""File in the folder that names the backup while a migration is in progress."""
_LOCK: Final = "migration.lock"
_RENAMED: Final = {
    "memes.posts": "memes.posts.input",
    "memes.cluster": "memes.cluster.learn",
    "memes.cluster_agree": "memes.cluster.agree",
    "memes.join": "memes.join.wait",
    "memes.clusters": "memes.clusters.events",
    "memes.dead_letters": "memes.dead_letters.sink",
    "memes.taps": "memes.taps.sink",
    "ingest.posts": "ingest.posts.input",
    "ingest.dead_letters": "ingest.dead_letters.sink",
    "similarity.queries": "similarity.queries.input",
    "similarity.answers_topic": "similarity.answers.topic",
    "similarity.answers_file": "similarity.answers.file",
    "similarity.answers_table": "similarity.answers.table",
    "similarity.tap": "similarity.tap.sink",
}
_NUMBERED: Final = {
    re.compile(r"(memes|ingest)\.write_([0-9]+)"): r"\1.write.sink_\2",
    re.compile(r"memes\.clusters_([0-9]+)"): r"memes.clusters.store_\1",
}


def new_id(step_id: str) -> str:
    """Return the current id of a step of version 0.1; other ids are returned unchanged."""
    for pattern, replacement in _NUMBERED.items():
        if match := pattern.fullmatch(step_id):
            return match.expand(replacement)
    return _RENAMED.get(step_id, step_id)


def is_old(folder: Path) -> bool:
    """Check whether a recovery folder has states with ids of version 0.1, or an interrupted migration."""
    if (folder / _BEGUN).exists():
        return True
    try:
        return any(new_id(step_id) != step_id for part in parts_of(folder) for step_id, _ in states_in(part))
    except sqlite3.Error:  # the code that opens the folder reports what is wrong with it
        return False


def migrate(folder: Path) -> bool:
    """Migrate a recovery folder of version 0.1; returns whether anything was done.

    Several processes may call it at once.

    Raises:
        WorldError: if the folder cannot be read or written.
    """
    if not is_old(folder):
        return False
    if not is_whole(folder):
        raise WorldError(
            f"an earlier version of memewax wrote {folder}: run `memewax recovery move` once to migrate all machines"
        )
    try:
        with locked(folder / _LOCK):
            if not is_old(folder):  # another process was first
                return False
            begun = folder / _BEGUN
            if not begun.exists():
                backup = _backed_up(folder)
                _write(begun, backup.name)
            backup = folder.with_name(begun.read_text())
            _rewrite(folder, backup)
            begun.unlink()
    except (OSError, sqlite3.Error) as error:
        raise WorldError(f"{folder} is of an older version and cannot be migrated: {error}") from None
    log.info("recovery folder migrated to nested steps", folder=str(folder), backup=str(backup))
    return True


def _backed_up(folder: Path) -> Path:
    """Copy the parts to a new folder beside it, atomically, and never over an existing one."""
    draft = Path(tempfile.mkdtemp(prefix=f"{folder.name}.{_BACKUP}-", dir=folder.parent))
    for part in parts_of(folder):
        _copy(part, draft / part.name)
    for number in count(1):
        backup = folder.with_name(f"{folder.name}.{_BACKUP}{'' if number == 1 else f'-{number}'}")
        if not backup.exists():
            return draft.rename(backup)
    raise AssertionError("counting never ends")


def _write(file: Path, text: str) -> None:
    draft = file.with_name(f"{file.name}.draft")
    draft.write_text(text)
    draft.replace(file)


def _copy(source: Path, target: Path) -> None:
    """Copy a part, including its write-ahead log."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


def _rewrite(folder: Path, backup: Path) -> None:
    """Rebuild each part from the backup: states where they now belong, other tables unchanged."""
    parts = parts_of(backup)
    rows = list(_snaps(parts))
    renamed = {(new_id(step_id), key) for _, step_id, key, *_ in rows if new_id(step_id) != step_id}
    place = places_of(renamed, len(parts))
    for number, part in enumerate(parts):
        draft = folder / f"{part.name}.draft"
        draft.unlink(missing_ok=True)
        _copy(part, draft)
        mine = [
            (new_id(step_id), key, epoch, change)
            for was_in, step_id, key, epoch, change in rows
            if place.get((new_id(step_id), key), was_in) == number
        ]
        with closing(sqlite3.connect(draft)) as database, database:
            database.execute("DELETE FROM snaps")
            database.executemany(
                "INSERT INTO snaps (step_id, state_key, snap_epoch, ser_change) VALUES (?, ?, ?, ?)", mine
            )
        for suffix in ("-wal", "-shm"):  # of the old part; the backup has their contents
            (folder / f"{part.name}{suffix}").unlink(missing_ok=True)
        draft.replace(folder / part.name)


def _snaps(parts: Sequence[Path]) -> Iterator[tuple[int, str, str, int, Any]]:
    """Yield the states of parts: index of the part, step id, key, epoch and pickled state."""
    for number, part in enumerate(parts):
        with closing(sqlite3.connect(part)) as database:
            for row in database.execute("SELECT step_id, state_key, snap_epoch, ser_change FROM snaps"):
                yield (number, *row)
