"""What a recovery folder holds, read before a flow is built: which parts and sinks were there, and how far they are.

What is read may be a little newer than where Bytewax goes on. So it says what there is; where to go on is said by
Bytewax alone.
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
from operators.recovery_places import parts_of


def steps_in(folder: Path | None) -> set[str]:
    """The ids of all steps that have a state; raises `WorldError` where the folder cannot be read."""
    return {step_id for (step_id,) in _rows(folder, "SELECT DISTINCT step_id FROM snaps", ())}


def states_of(folder: Path | None, step_id: str) -> dict[str, Any]:
    """The newest state of a step by its key, none of what is done with; raises `WorldError`.

    Args:
        folder: A recovery folder that is nobody else's, since states are pickled; None and a new one hold nothing.
        step_id: The whole id, as `memes.posts.input`.
    """
    rows = _rows(
        folder, "SELECT state_key, snap_epoch, ser_change FROM snaps WHERE step_id = ? ORDER BY snap_epoch", (step_id,)
    )
    newest = {key: change for key, _, change in sorted(rows, key=lambda row: row[1])}
    try:
        there = {key: change for key, change in newest.items() if change is not None}
        return {key: pickle.loads(change) for key, change in there.items()}  # noqa: S301 - Bytewax does the same
    except Exception as error:  # what was not written by a memewax may raise anything
        raise WorldError(
            f"{folder} holds what this memewax cannot read ({error}): use the memewax that wrote it, or another folder"
        ) from None


def keys_of(folder: Path | None, step_id: str) -> set[str]:
    """The keys of all states of a step; raises `WorldError`."""
    return {key for (key,) in _rows(folder, "SELECT DISTINCT state_key FROM snaps WHERE step_id = ?", (step_id,))}


def full_id(up: Stream[Any], step_id: str) -> str:
    """The whole id of an operator, from its own and one of its streams."""
    return f"{up.flow().flow_id}.{step_id.rpartition('.')[2]}"


def sink_steps(prefix: str, places: Sequence[str], folder: Path | None) -> list[str]:
    """Names of the steps that write to places: one says what it writes to, so that their order is nothing.

    A step that a recovery folder knows keeps its name, where its sink has moved too.

    Args:
        prefix: What the whole ids begin with, as `memes.write.sink`.
        places: Of the sinks, each another one.
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
            raise WorldError(f"{part} is no part of a recovery folder: {error}") from None
    return rows
