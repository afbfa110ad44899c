"""Whether the vectors of a store and of a recovery folder are of the models that the flow would use now.

Vectors of two models cannot be compared, also where they are of one length. Rows of a store name their models. A
recovery folder holds clusters of images, and names them in a file of its own, from the first start on.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from core.errors import WorldError
from core.settings import PREFIX
from models.identity import is_same
from models.model_settings import ModelSettings
from models.stages import stage as stage_named
from operators.recovery_places import has_snapshots

if TYPE_CHECKING:
    from connectors.store.interface import StorePlace

FILE: Final = "models.json"
"""In a recovery folder: the model of each stage whose answers are vectors."""
_STAND_IN: Final = "fake"
_SETTINGS: Final = {"embedding": "vit", "text_embedding": "text_model"}


def check_noted(recovery: Path | None, settings: ModelSettings) -> None:
    """Compare the models that a recovery folder names with those of the settings: before any is loaded.

    Weights are hashed only where a model is called otherwise; `check_models` looks at the others once they are loaded.

    Args:
        recovery: Of the run; None where it takes no snapshots.
        settings: Of the models.

    Raises:
        WorldError: where it is of another model, or cannot be read.
        WeightsError: where the weights of one that is called otherwise are nowhere to be found.
    """
    if recovery is not None and recovery.is_dir() and has_snapshots(recovery):
        found = _noted(recovery / FILE)
        _compare(recovery, found, {stage: _wanted(stage, found[stage], settings) for stage in found.keys() & _SETTINGS})


def check_models(stores: "Sequence[StorePlace]", recovery: Path | None, models: Mapping[str, str]) -> None:
    """Compare the models of what is there with those of the flow, and note them in the recovery folder.

    Args:
        stores: Those that are written.
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


def _compare(place: "StorePlace", found: Mapping[str, str], now: Mapping[str, str]) -> None:
    for stage, name in now.items():
        if not is_same(found.get(stage, ""), name):
            setting = PREFIX + ("models" if _STAND_IN in {found[stage], name} else _SETTINGS[stage]).upper()
            raise WorldError(
                f"{place} holds vectors of {found[stage]}, which cannot be compared with those of {name}: set "
                f"{setting} to the model that it was made with, or name another folder to begin anew"
            )


def _wanted(stage: str, found: str, settings: ModelSettings) -> str:
    """The name of the model of the settings, or the one that was found where it is called the same."""
    if settings.models == "fake":
        return _STAND_IN
    if found.partition("@")[0] == getattr(settings, _SETTINGS[stage]):
        return found
    model = stage_named(stage).model
    assert model is not None
    (find,) = model.weights(settings)
    return find().label


def _noted(file: Path) -> dict[str, str]:
    try:
        noted = orjson.loads(file.read_bytes())
        return {str(stage): str(model) for stage, model in noted.items()}
    except FileNotFoundError:  # of an earlier version
        return {}
    except (OSError, ValueError, AttributeError):
        raise WorldError(f"{file} does not say which models there are: restore it, or delete it") from None
