"""Reads a recovery folder before a flow is built: which partitions and sinks existed, and their positions.

What is read may be slightly newer than the snapshot that Bytewax resumes from. So it tells what exists; only Bytewax
decides where to resume.
"""

import pickle
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import Any

from bytewax.dataflow import Stream

from connectors.part_names import is_moved
from core.errors import WorldError
from operators.recovery_check import is_whole
from operators.recovery_places import parts_of
from operators.recovery_progress import progress_of


def steps_in(folder: Path | None) -> set[str]:
    """Return the ids of all steps that have a state; raises `WorldError` if the folder cannot be read."""
    return {step_id for (step_id,) in _rows(folder, "SELECT DISTINCT step_id FROM snaps", ())}


def states_of(folder: Path | None, step_id: str) -> dict[str, Any]:
    """Return the newest states of a step by key, without discarded ones.

    Args:
        folder: The recovery folder, which must be trusted, since states are pickled; None or a new one has no states.
        step_id: The full id, such as `memes.posts.input`.

    Raises:
        WorldError: if the folder cannot be read.
    """
    rows = _rows(
        folder, "SELECT state_key, snap_epoch, ser_change FROM snaps WHERE step_id = ? ORDER BY snap_epoch", (step_id,)
    )
    # A snapshot of an epoch that was not finished counts for nothing: another process may be about to delete it.
    end = progress_of(folder).resume_epoch if folder is not None and rows and is_whole(folder) else None
    finished = [row for row in rows if end is None or row[1] < end]
    newest = {key: change for key, _, change in sorted(finished, key=lambda row: row[1])}
    try:
        there = {key: change for key, change in newest.items() if change is not None}
        return {key: pickle.loads(change) for key, change in there.items()}  # noqa: S301 - Bytewax does the same
    except Exception as error:  # unpickling foreign data may raise anything
        raise WorldError(
            f"{folder} has states that this memewax cannot read ({error}): use the one that wrote it, or another folder"
        ) from None


def keys_of(folder: Path | None, step_id: str) -> set[str]:
    """Return the keys of all states of a step; raises `WorldError` if the folder cannot be read."""
    return {key for (key,) in _rows(folder, "SELECT DISTINCT state_key FROM snaps WHERE step_id = ?", (step_id,))}


def full_id(up: Stream[Any], step_id: str) -> str:
    """Return the full id of an operator, from its own id and one of its streams."""
    return f"{up.flow().flow_id}.{step_id.rpartition('.')[2]}"


def sink_steps(prefix: str, places: Sequence[str], folder: Path | None) -> list[str]:
    """Name the steps that write to places after the place, so that the order of sinks does not matter.

    A step that a recovery folder knows keeps its name, even if its sink has moved.

    Args:
        prefix: Beginning of the full ids, such as `memes.write.sink`.
        places: Places of the sinks, all different.
        folder: The recovery folder.
    """
    known = {
        step_id: [Path(key) for key in keys_of(folder, step_id)]
        for step_id in sorted(steps_in(folder))
        if step_id.startswith(f"{prefix}_")
    }
    named: dict[str, str] = {}
    for is_it in (lambda key, place: key == place, is_moved):
        for place in places:
            free = [step_id for step_id in known if step_id not in named.values()]
            found = (it for it in free if any(is_it(key, Path(place)) for key in known[it]))
            if place not in named and (step_id := next(found, None)) is not None:
                named[place] = step_id
    return [named.get(place, _new_step(prefix, place)).rpartition(".")[2] for place in places]


def _new_step(prefix: str, place: str) -> str:
    name = re.sub(r"[^A-Za-z0-9]+", "_", Path(place).stem)[:40]
    return f"{prefix}_{name}_{blake2b(place.encode(errors='surrogateescape'), digest_size=4).hexdigest()}"


def _rows(folder: Path | None, query: str, values: tuple[str, ...]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for part in parts_of(folder) if folder is not None else []:
        try:
            with closing(sqlite3.connect(part)) as database:
                rows += database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise WorldError(f"{part} is not part of a recovery folder: {error}") from None
    return rows
