"""Where a recovery folder still keeps names, and how what it needs no more is taken out where no flow runs."""

import pickle
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from connectors.remnants import LookedFor, Remnant
from core.errors import WorldError
from core.row_log import blank_unwanted, drop_unknown, is_mark
from operators.recovery_check import is_whole
from operators.recovery_places import parts_of

_SUPERSEDED: Final = """
    DELETE FROM snaps WHERE snap_epoch < (
        SELECT max(newer.snap_epoch) FROM snaps AS newer
        WHERE newer.step_id = snaps.step_id AND newer.state_key = snaps.state_key AND newer.snap_epoch < ?
    )
"""
_LATER: Final = "until later snapshots take its place; at once by `memewax forget` where no flow runs"


def in_recovery(folder: Path, names: LookedFor) -> Iterator[Remnant]:
    """Look through the states of a recovery folder, older snapshots, and the bytes of all its files."""
    for part in parts_of(folder):
        has_any = False
        for step_id, is_newest, change in _states(part):
            # It is nobody else's folder: the flow unpickles the same.
            if change is not None and names.in_value(pickle.loads(change)):  # noqa: S301
                has_any = True
                yield Remnant(f"{part}, {step_id}", "a state" if is_newest else "an older snapshot", _LATER)
        files = [part, *part.parent.glob(f"{part.name}-*")]
        if not has_any and any(names.in_file(it) for it in files):
            yield Remnant(str(part), "pages that are free hold it", _LATER)
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.name.startswith("part-") and names.in_file(file):
            yield Remnant(str(file), "its bytes have it", "until the flow has taken some more snapshots")


def scrub(folder: Path, rows: Path) -> None:
    """Take out older snapshots, free pages, and rows of clusters that are wanted no more; raises `WorldError`.

    To be called by who holds the folder's lock; `rows` is the folder of rows.
    """
    try:
        parts = parts_of(folder)
        resume = _resume_epoch(parts)
        for part in parts:
            with closing(sqlite3.connect(part)) as database:
                with database:
                    database.execute(_SUPERSEDED, (resume,))
                database.execute("VACUUM")
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for mark in _marks_of(parts):
            blank_unwanted(rows, mark)
        drop_unknown_rows(folder, rows)
    except sqlite3.Error as error:
        raise WorldError(f"{folder} cannot be cleaned up: {error}") from None


def drop_unknown_rows(folder: Path, rows: Path) -> None:
    """Remove rows of clusters that were written before a snapshot knew of them; raises `WorldError`.

    To be called where no flow runs, or before it begins. Where states are on several machines, or rows elsewhere than
    in the recovery folder, nothing is removed, since others may need it.
    """
    if rows.is_dir() and any(rows.iterdir()) and rows.resolve().is_relative_to(folder.resolve()) and is_whole(folder):
        drop_unknown(rows, {str(mark["name"]) for mark in _marks_of(parts_of(folder))})


def _marks_of(parts: Sequence[Path]) -> list[dict[str, Any]]:
    """The marks of logs of rows in all states, those of older versions of memewax too."""
    changes = (change for part in parts for _, _, change in _states(part) if change is not None)
    return [mark for change in changes for mark in _marks_in(pickle.loads(change))]  # noqa: S301


def _resume_epoch(parts: Sequence[Path]) -> int:
    """Where Bytewax would go on, or before: each part keeps some of the workers' frontiers."""
    frontiers: list[tuple[int, int]] = []
    for part in parts:
        with closing(sqlite3.connect(part)) as database:
            frontiers += database.execute("SELECT ex_num, worker_frontier FROM fronts")
    last = max((run for run, _ in frontiers), default=0)
    return min((frontier for run, frontier in frontiers if run == last), default=0)


def _marks_in(value: Any) -> Iterator[dict[str, Any]]:
    """The marks of logs of rows in a state."""
    if is_mark(value):
        yield value
    elif isinstance(value, dict):
        for it in value.values():
            yield from _marks_in(it)
    elif isinstance(value, list | tuple):
        for it in value:
            yield from _marks_in(it)


def _states(part: Path) -> Iterator[tuple[str, bool, bytes | None]]:
    """The id of each step that has a state, whether it is the newest of its key, and the state."""
    query = """
        SELECT step_id, snap_epoch = (
            SELECT max(newer.snap_epoch) FROM snaps AS newer
            WHERE newer.step_id = snaps.step_id AND newer.state_key = snaps.state_key
        ), ser_change FROM snaps
    """
    try:
        with closing(sqlite3.connect(f"file:{part}?mode=ro", uri=True)) as database:
            for step_id, is_newest, change in database.execute(query):
                yield step_id, bool(is_newest), change
    except sqlite3.Error as error:
        raise WorldError(f"{part} is no part of a recovery folder: {error}") from None
