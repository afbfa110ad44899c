"""Whether a recovery folder can be gone on from, said in a line: the engine would panic, or trust what it must not."""

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
_WAY_OUT: Final = "restore a backup of it (`memewax recovery restore`), or name another recovery folder to begin anew"


Share = tuple[int, int]
"""The number of a machine, from 0, and how many there are."""
WHOLE: Final = (0, 1)


def dealt(share: Share, parts: int) -> set[int]:
    """The parts that a machine has where each has a folder of its own."""
    number, machines = share
    return set(range(number, parts, machines))


def moving_of(folder: Path) -> Path:
    """Where all parts of a flow lie while they are moved from or to a recovery folder."""
    return folder.with_name(f"{folder.name}.moving")


def check_recovery(folder: Path, share: Share = WHOLE, *, thorough: bool = False) -> None:
    """Raise `WorldError` where a recovery folder is corrupt, foreign or incomplete, or others may write it.

    Args:
        folder: Of snapshots.
        share: Number of this machine, from 0, and of how many: each has a folder of its own with the parts that
            `dealt` gives it, or all have one with all parts.
        thorough: Read all of it, rather than what tells at once.
    """
    if moving_of(folder).exists():
        raise WorldError(
            f"the parts of {folder} are being moved, or that was cut off: run `memewax recovery move` again"
        )
    if not folder.is_dir():
        raise WorldError(f"no such recovery folder: {folder}; `memewax run` makes one, or python -m bytewax.recovery")
    parts = parts_of(folder)
    if not parts:
        raise WorldError(f"{folder} is no recovery folder: it holds no part-0.sqlite3; {_WAY_OUT}")
    for path in (folder, *parts):
        _check_owner(path)
    told = {_check_part(part, thorough=thorough) for part in parts}
    counts = {count for _, count in told}
    if len(counts) > 1:
        raise WorldError(f"{folder} holds parts of several recovery folders: {_WAY_OUT}")
    count = counts.pop()
    found = {number for number, _ in told}
    if found == set(range(count)):
        return
    own = dealt(share, count)
    if missing := sorted(own - found):
        names = ", ".join(f"part-{number}.sqlite3" for number in missing)
        raise WorldError(f"{folder} lacks {names}: {_WAY_OUT}")
    if foreign := sorted(found - own):
        names = ", ".join(f"part-{number}.sqlite3" for number in foreign)
        raise WorldError(
            f"{folder} holds {names} of another of {share[1]} machines: `memewax recovery move` deals them"
        )


def is_whole(folder: Path) -> bool:
    """Whether a recovery folder that is sound has all parts, rather than the share of one machine."""
    parts = parts_of(folder)
    return len(parts) == _check_part(parts[0], thorough=False)[1]


def check_room(folder: Path) -> None:
    """Raise `WorldError` where a recovery folder has no room for a snapshot, at which the engine would panic."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise WorldError(f"{folder}: {error.strerror}") from None
    if free < _LEAST_FREE:
        raise WorldError(f"{folder} has no room left: make some, and the same command goes on")


def _check_owner(path: Path) -> None:
    """States are pickled, so whoever can write them can run what they like."""
    told = path.stat()
    if told.st_mode & stat.S_IWOTH:
        raise WorldError(f"{path} can be written by everyone, and what is in it is run: chmod o-w {path}")
    if told.st_uid not in {os.geteuid(), 0}:
        raise WorldError(f"{path} is another user's, and what is in it is run: name a recovery folder of your own")


def _check_part(part: Path, *, thorough: bool) -> tuple[int, int]:
    """The number of a part, and how many there are to be."""
    try:
        with closing(sqlite3.connect(f"file:{part}?mode=rw", uri=True)) as database:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if not tables >= _TABLES:
                raise WorldError(f"{part} is a database, but no part of a recovery folder: {_WAY_OUT}")
            (found,) = database.execute("SELECT part_index, part_count FROM parts").fetchall()
            for table in sorted(_TABLES):  # a page that is broken is found when it is read
                database.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - names of our own
            if thorough and (said := database.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                raise WorldError(f"{part} is corrupt ({said.splitlines()[0]}): {_WAY_OUT}")
    except (sqlite3.Error, ValueError) as error:
        raise WorldError(f"{part} cannot be read ({error}): {_WAY_OUT}") from None
    return int(found[0]), int(found[1])
