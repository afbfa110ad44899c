"""What a flow reads and writes, noted in its recovery folder: so that a command can do a request in its stead.

Paths beside the recovery folder are relative to its parent, since a project may be moved.
"""

import os
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import orjson

from connectors.chosen_endpoints import Destinations, WriteSettings
from connectors.endpoint import Endpoint
from connectors.endpoints import POSTS_FROM, endpoint
from core.errors import WorldError

_FILE: Final = "flow.json"
_HERE: Final = f".{os.sep}"


def note_flow(recovery: Path, settings: WriteSettings) -> None:
    """Note which flow a recovery folder belongs to; raises `WorldError`."""
    base = recovery.resolve().parent
    chosen = Destinations.of(settings)
    told = {
        "version": 1,
        "source": [_kept(endpoint(it, POSTS_FROM), base) for it in settings.source],
        "to": [_kept(it, base) for it in chosen.sinks],
        "dead_letters": _kept(chosen.dead_letters, base),
        "cluster_events": "" if chosen.cluster_events is None else _kept(chosen.cluster_events, base),
        "state_dir": None if settings.state_dir is None else _kept_path(settings.state_dir.resolve(), base),
    }
    draft = recovery / f"{_FILE}.{uuid4().hex}"
    try:
        draft.write_bytes(orjson.dumps(told))
        draft.replace(recovery / _FILE)
    except OSError as error:
        raise WorldError(f"{recovery}: {error.strerror}") from None


def noted_flow(recovery: Path) -> dict[str, Any] | None:
    """The settings of the flow that a recovery folder belongs to; None where it does not say. Raises `WorldError`."""
    base = recovery.resolve().parent
    try:
        told = orjson.loads((recovery / _FILE).read_bytes())
        return {
            **{name: tuple(_found(it, base) for it in told[name]) for name in ("source", "to")},
            **{name: _found(told[name], base) for name in ("dead_letters", "cluster_events")},
            "state_dir": None if told["state_dir"] is None else Path(_found(told["state_dir"], base)),
        }
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorldError(f"{recovery / _FILE} cannot be read: {error}") from None


def _kept(it: Endpoint[Any], base: Path) -> str:
    return it.address if it.path is None else _kept_path(it.path.resolve(), base)


def _kept_path(path: Path, base: Path) -> str:
    return f"{_HERE}{path.relative_to(base)}" if path.is_relative_to(base) else str(path)


def _found(address: str, base: Path) -> str:
    return str(base / address) if address.startswith(_HERE) else address
