"""Whether the vectors of a store and of a recovery folder are of the models that the flow would use now.

Vectors of two models cannot be compared, also where they are of one length. Rows of a store name their models. A
recovery folder holds clusters of pictures, and names them in a file of its own, from the first start on.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import orjson

from core.errors import WorldError
from models.identity import is_same
from operators.recovery_places import has_snapshots

FILE: Final = "models.json"
"""In a recovery folder: the model of each stage whose answers are vectors."""
_STAND_IN: Final = "stand-in"
_SETTINGS: Final = {"embedding": "MEMEWAX_VIT", "text_embedding": "MEMEWAX_TEXT_MODEL"}


def check_models(stores: Sequence[Path], recovery: Path | None, models: Mapping[str, str]) -> None:
    """Compare the models of what is there with those of the flow, and note them in the recovery folder.

    Args:
        stores: Folders.
        recovery: Of the run; None where it takes no snapshots.
        models: Their names, by stage, of each stage whose answers are vectors.

    Raises:
        WorldError: where a store or the recovery folder is of another model, or cannot be read or written.
    """
    if stores:
        from connectors.store.stored_models import models_in  # late, since it brings the store

        for store in stores:
            _compare(store, models_in(store), models)
    if recovery is None or not recovery.is_dir():
        return
    file = recovery / FILE
    if has_snapshots(recovery):  # else nothing was made by the models that are named
        _compare(recovery, _noted(file), models)
    try:
        new = file.with_name(f"{FILE}.{os.getpid()}")  # processes of one flow note the same, at once
        new.write_bytes(orjson.dumps(dict(models)))
        new.replace(file)
    except OSError as error:
        raise WorldError(f"{file}: {error.strerror}") from None


def _compare(folder: Path, found: Mapping[str, str], now: Mapping[str, str]) -> None:
    for stage, name in now.items():
        if not is_same(found.get(stage, ""), name):
            setting = "MEMEWAX_MODELS" if _STAND_IN in {found[stage], name} else _SETTINGS[stage]
            raise WorldError(
                f"{folder} holds vectors of {found[stage]}, which cannot be compared with those of {name}: set "
                f"{setting} to the model that it was made with, or name another folder to begin anew"
            )


def _noted(file: Path) -> dict[str, str]:
    try:
        noted = orjson.loads(file.read_bytes())
        return {str(stage): str(model) for stage, model in noted.items()}
    except FileNotFoundError:  # of an earlier version
        return {}
    except (OSError, ValueError, AttributeError):
        raise WorldError(f"{file} does not say which models there are: restore it, or delete it") from None
