"""Note a flow's sources and destinations in its recovery folder, so that a command can execute requests without it.

The folders of its state, such as its stores, note the recovery folder in turn, so that `memewax forget` finds it.

Paths below the recovery folder's parent are stored relative to it, since a project may be moved.
"""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import orjson

from connectors.chosen_endpoints import Destinations, WriteSettings
from connectors.endpoint import Endpoint
from connectors.endpoints import POSTS_FROM, endpoint
from core.errors import WorldError

_FILE: Final = "flow.json"
_FOLDER_FILE: Final = "recovery-folder"
"""File in each state folder of a flow with the path of its recovery folder."""
_HERE: Final = f".{os.sep}"


def note_flow(recovery: Path, settings: WriteSettings, taps: Collection[str] = ()) -> None:
    """Write the note of a flow into its recovery folder; raises `WorldError`.

    Args:
        recovery: The recovery folder.
        settings: The flow's settings.
        taps: Topics of its taps, added to those of earlier runs, which may still exist.
    """
    base = recovery.resolve().parent
    chosen = Destinations.of(settings)
    note = {
        "version": 1,
        "source": [_kept(endpoint(it, POSTS_FROM), base) for it in settings.source],
        "to": [_kept(it, base) for it in chosen.sinks],
        "dead_letters": _kept(chosen.dead_letters, base),
        "cluster_events": "" if chosen.cluster_events is None else _kept(chosen.cluster_events, base),
        "state_dir": None if settings.state_dir is None else _kept_path(settings.state_dir.resolve(), base),
        "taps": sorted({*noted_taps(recovery), *taps}),
    }
    _write(recovery / _FILE, orjson.dumps(note))
    for state in chosen.states(settings.state_dir):
        if state.is_dir():  # of a store, or of a flow with a status
            _write(state / _FOLDER_FILE, os.fsencode(_kept_path(recovery.resolve(), state.resolve().parent)))


def _write(file: Path, data: bytes) -> None:
    """Write a file atomically, also if several processes of a flow do so at once; raises `WorldError`."""
    draft = file.with_name(f"{file.name}.{uuid4().hex}")
    try:
        draft.write_bytes(data)
        draft.replace(file)
    except OSError as error:
        raise WorldError(f"{file.parent}: {error.strerror}") from None


def noted_folder(state: Path) -> Path | None:
    """Return the recovery folder of the flow that last had this state; None if none is noted. Raises `WorldError`."""
    try:
        noted = os.fsdecode((state / _FOLDER_FILE).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise WorldError(f"{state / _FOLDER_FILE} cannot be read: {error.strerror}") from None
    return Path(_found(noted, state.resolve().parent)) if noted and "\0" not in noted else None


def noted_flow(recovery: Path) -> dict[str, Any] | None:
    """Read the settings of the flow that a recovery folder belongs to; None without a note. Raises `WorldError`."""
    base = recovery.resolve().parent
    note = _note(recovery)
    if note is None:
        return None
    try:
        return {
            **{name: tuple(_found(it, base) for it in note[name]) for name in ("source", "to")},
            **{name: _found(note[name], base) for name in ("dead_letters", "cluster_events")},
            "state_dir": None if note["state_dir"] is None else Path(_found(note["state_dir"], base)),
        }
    except (KeyError, TypeError) as error:
        raise _unreadable(recovery, error) from None


def noted_taps(recovery: Path) -> list[str]:
    """Return the addresses of all topics that taps of the flow ever wrote; raises `WorldError`."""
    note = _note(recovery)
    taps = [] if note is None else note.get("taps", [])  # an earlier version did not note them
    if not isinstance(taps, list) or not all(isinstance(it, str) for it in taps):
        raise _unreadable(recovery, "its taps are not a list of addresses")
    return taps


def _note(recovery: Path) -> dict[str, Any] | None:
    try:
        note = orjson.loads((recovery / _FILE).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise _unreadable(recovery, error) from None
    if not isinstance(note, dict):
        raise _unreadable(recovery, "it is not a JSON object")
    return note


def _unreadable(recovery: Path, why: object) -> WorldError:
    return WorldError(f"{recovery / _FILE} cannot be read: {why}")


def _kept(it: Endpoint[Any], base: Path) -> str:
    return it.address if it.path is None else _kept_path(it.path.resolve(), base)


def _kept_path(path: Path, base: Path) -> str:
    return f"{_HERE}{path.relative_to(base)}" if path.is_relative_to(base) else str(path)


def _found(address: str, base: Path) -> str:
    return str(base / address) if address.startswith(_HERE) else address
