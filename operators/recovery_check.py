"""Validates recovery folders with one-line errors: Bytewax would panic, or trust what it must not."""

import os
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Final

from core.errors import WorldError
from operators.recovery_places import parts_of

_TABLES: Final = frozenset({"parts", "exs", "fronts", "commits", "snaps"})
_LEAST_FREE: Final = 2**20
"""Bytes."""
_WAY_OUT: Final = "restore a backup of it (`memewax recovery restore`), or name another recovery folder to start over"


Share = tuple[int, int]
"""Index of a machine, from 0, and the number of machines."""
WHOLE: Final = (0, 1)


def parts_of_machine(share: Share, parts: int) -> set[int]:
    """Return the parts that belong to a machine, if each machine has its own folder."""
    number, machines = share
    return set(range(number, parts, machines))


def moving_folder(folder: Path) -> Path:
    """Return the folder that holds all parts of a flow while they are moved from or to a recovery folder."""
    return folder.with_name(f"{folder.name}.moving")


def check_recovery(folder: Path, share: Share = WHOLE, *, thorough: bool = False) -> None:
    """Check that a recovery folder is intact, complete and writable only by its owner.

    Args:
        folder: The recovery folder.
        share: Index of this machine, from 0, and the number of machines: each has its own folder with the parts that
            `parts_of_machine` assigns to it, or all share one folder with all parts.
        thorough: Read all of it, instead of only what is quickly checked.

    Raises:
        WorldError: if the folder is corrupt, foreign or incomplete, or others can write it.
    """
    if moving_folder(folder).exists():
        raise WorldError(
            f"the parts of {folder} are being moved, or a move was interrupted: run `memewax recovery move` again"
        )
    if not folder.is_dir():
        raise WorldError(
            f"no such recovery folder: {folder}; `memewax run` or `python -m bytewax.recovery` creates one"
        )
    parts = parts_of(folder)
    if not parts:
        raise WorldError(f"{folder} is not a recovery folder: it has no part-0.sqlite3; {_WAY_OUT}")
    for path in (folder, *parts):
        _check_owner(path)
    indices = {_check_part(part, thorough=thorough) for part in parts}
    counts = {count for _, count in indices}
    if len(counts) > 1:
        raise WorldError(f"{folder} holds parts of several recovery folders: {_WAY_OUT}")
    count = counts.pop()
    found = {number for number, _ in indices}
    if found == set(range(count)):
        return
    own = parts_of_machine(share, count)
    if missing := sorted(own - found):
        names = ", ".join(f"part-{number}.sqlite3" for number in missing)
        raise WorldError(f"{folder} lacks {names}: {_WAY_OUT}")
    if foreign := sorted(found - own):
        names = ", ".join(f"part-{number}.sqlite3" for number in foreign)
        raise WorldError(
            f"{folder} holds {names} of another of {share[1]} machines: `memewax recovery move` redistributes them"
        )


def is_whole(folder: Path) -> bool:
    """Check whether an intact recovery folder has all parts, instead of the share of one machine."""
    parts = parts_of(folder)
    return len(parts) == _check_part(parts[0], thorough=False)[1]


def check_room(folder: Path) -> None:
    """Raise `WorldError` if the disk has no room for a snapshot, on which Bytewax would panic."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise WorldError(f"{folder}: {error.strerror}") from None
    if free < _LEAST_FREE:
        raise WorldError(f"{folder} has no room left: free some disk space, then run the same command again")


def _check_owner(path: Path) -> None:
    """Check who can write a file or folder: states are pickled, so whoever writes them can run any code."""
    status = path.stat()
    if status.st_mode & stat.S_IWOTH:
        raise WorldError(f"{path} can be written by everyone, who could run code through it: chmod o-w {path}")
    if status.st_uid not in {os.geteuid(), 0}:
        raise WorldError(
            f"{path} belongs to another user, who could run code through it: use a recovery folder of your own"
        )


def _check_part(part: Path, *, thorough: bool) -> tuple[int, int]:
    """Check a part; returns its index and the number of parts."""
    try:
        with closing(sqlite3.connect(f"file:{part}?mode=rw", uri=True)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not tables >= _TABLES:
                raise WorldError(f"{part} is a database, but not part of a recovery folder: {_WAY_OUT}")
            (found,) = database.execute("SELECT part_index, part_count FROM parts").fetchall()
            for table in sorted(_TABLES):  # reading a corrupt page raises
                database.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - names of our own
            if thorough and (verdict := database.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                raise WorldError(f"{part} is corrupt ({verdict.splitlines()[0]}): {_WAY_OUT}")
    except (sqlite3.Error, ValueError) as error:
        raise WorldError(f"{part} cannot be read ({error}): {_WAY_OUT}") from None
    return int(found[0]), int(found[1])
