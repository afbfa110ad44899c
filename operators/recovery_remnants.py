"""Finds deleted names in a recovery folder, and erases data that it no longer needs while no flow runs."""

import pickle
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from connectors.remnants import LookedFor, Remnant, in_files
from core.errors import WorldError
from core.row_log import blank_unwanted, drop_unknown, is_mark
from operators.recovery_check import is_whole
from operators.recovery_places import parts_of
from operators.recovery_progress import progress_of
from operators.resume_point import drop_discarded

_SUPERSEDED: Final = """
    DELETE FROM snaps WHERE snap_epoch < (
        SELECT max(newer.snap_epoch) FROM snaps AS newer
        WHERE newer.step_id = snaps.step_id AND newer.state_key = snaps.state_key AND newer.snap_epoch < ?
    )
"""
_LATER: Final = "until later snapshots replace it; at once by `memewax forget` while no flow runs"


def in_recovery(folder: Path, names: LookedFor) -> Iterator[Remnant]:
    """Search the states of a recovery folder, including older snapshots, and the raw bytes of all its files."""
    for part in parts_of(folder):
        has_any = False
        for step_id, is_newest, change in _states(part):
            # The folder is trusted: the flow unpickles the same.
            if change is not None and names.in_value(pickle.loads(change)):  # noqa: S301
                has_any = True
                yield Remnant(f"{part}, {step_id}", "a state" if is_newest else "an older snapshot", _LATER)
        files = [part, *part.parent.glob(f"{part.name}-*")]
        if not has_any and any(names.in_file(it) for it in files):
            yield Remnant(str(part), "free pages of the database contain it", _LATER)
    others = (it for it in sorted(folder.rglob("*")) if it.is_file() and not it.name.startswith("part-"))
    yield from in_files(others, names, "until the flow has taken some more snapshots")


def scrub(folder: Path, rows: Path) -> None:
    """Erase older snapshots, free pages and unwanted rows of clusters.

    The caller must hold the lock of the folder.

    Args:
        folder: The recovery folder.
        rows: The folder of rows.

    Raises:
        WorldError: if the folder cannot be written.
    """
    try:
        parts = parts_of(folder)
        progress = progress_of(folder)
        if is_whole(folder):
            drop_discarded(folder, progress)
        resume = progress.resume_epoch or 0  # of one machine's parts: this epoch or an earlier one
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
    """Remove rows of clusters that were written before any snapshot knew of them; raises `WorldError` if that fails.

    Call this while no flow runs. Removes nothing if the states are on several machines, or the rows outside of the
    recovery folder, since another flow may need them.
    """
    if rows.is_dir() and any(rows.iterdir()) and rows.resolve().is_relative_to(folder.resolve()) and is_whole(folder):
        drop_unknown(rows, {str(mark["name"]) for mark in _marks_of(parts_of(folder))})


def _marks_of(parts: Sequence[Path]) -> list[dict[str, Any]]:
    """Return the marks of row logs in all states, including those of older versions of memewax."""
    changes = (change for part in parts for _, _, change in _states(part) if change is not None)
    return [mark for change in changes for mark in _marks_in(pickle.loads(change))]  # noqa: S301


def _marks_in(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the marks of row logs in a state."""
    if is_mark(value):
        yield value
    elif isinstance(value, dict):
        for it in value.values():
            yield from _marks_in(it)
    elif isinstance(value, list | tuple):
        for it in value:
            yield from _marks_in(it)


def _states(part: Path) -> Iterator[tuple[str, bool, bytes | None]]:
    """Yield step id, whether the state is the newest of its key, and the state, for each state of a part."""
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
        raise WorldError(f"{part} is not part of a recovery folder: {error}") from None
