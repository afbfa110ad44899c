"""Checks that the vectors of a store and of a recovery folder come from the models that the flow uses now.

Vectors of two models cannot be compared, even if they have the same dimension. Rows of a store name their models. A
recovery folder holds clusters of images; from the first start, a file in it names the models.
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
"""File in a recovery folder: the model of each stage whose results are vectors."""
_FAKE: Final = "fake"
_SETTINGS: Final = {"embedding": "vit", "text_embedding": "text_model"}


def check_model_names(recovery: Path | None, settings: ModelSettings) -> None:
    """Compare the models of a recovery folder with those of the settings, before any model is loaded.

    Weights are hashed only if the name of a model differs; `check_models` checks the others once they are loaded.

    Args:
        recovery: Recovery folder of the run; None if it takes no snapshots.
        settings: Settings of the models.

    Raises:
        WorldError: if the folder is of another model, or cannot be read.
        WeightsError: if the weights of a model whose name differs are missing.
    """
    if recovery is not None and recovery.is_dir() and has_snapshots(recovery):
        found = _stored_models(recovery / FILE)
        _compare(recovery, found, {stage: _wanted(stage, found[stage], settings) for stage in found.keys() & _SETTINGS})


def check_models(stores: "Sequence[StorePlace]", recovery: Path | None, models: Mapping[str, str]) -> None:
    """Compare the models of stores and recovery folder with those of the flow, and record them in the folder.

    Args:
        stores: The stores that the run writes.
        recovery: Recovery folder of the run; None if it takes no snapshots.
        models: Name of the model of each stage whose results are vectors.

    Raises:
        WorldError: if a store or the recovery folder is of another model, or cannot be read or written.
    """
    if stores:
        from connectors.store.stored_models import models_in  # imported late, since it imports the store

        for store in stores:
            _compare(store, models_in(store), models)
    if recovery is None or not recovery.is_dir():
        return
    file = recovery / FILE
    if has_snapshots(recovery):  # otherwise the recorded models have made nothing yet
        _compare(recovery, _stored_models(file), models)
    try:
        new = file.with_name(f"{FILE}.{os.getpid()}")  # the processes of a flow write the same file at once
        new.write_bytes(orjson.dumps(dict(models)))
        new.replace(file)
    except OSError as error:
        raise WorldError(f"{file}: {error.strerror}") from None


def _compare(place: "StorePlace", found: Mapping[str, str], now: Mapping[str, str]) -> None:
    for stage, name in now.items():
        if not is_same(found.get(stage, ""), name):
            setting = PREFIX + ("models" if _FAKE in {found[stage], name} else _SETTINGS[stage]).upper()
            raise WorldError(
                f"{place} holds vectors of {found[stage]}, which cannot be compared with those of {name}: set "
                f"{setting} to the model that it was made with, or name another folder to start over"
            )


def _wanted(stage: str, found: str, settings: ModelSettings) -> str:
    """Return the name of the model in the settings, with the hash of its weights only if the name differs."""
    if settings.models == "fake":
        return _FAKE
    if found.partition("@")[0] == getattr(settings, _SETTINGS[stage]):
        return found
    model = stage_named(stage).model
    assert model is not None
    (find,) = model.weights(settings)
    return find().label


def _stored_models(file: Path) -> dict[str, str]:
    try:
        models = orjson.loads(file.read_bytes())
        return {str(stage): str(model) for stage, model in models.items()}
    except FileNotFoundError:  # written by an earlier version
        return {}
    except (OSError, ValueError, AttributeError):
        raise WorldError(f"{file} does not say which models there are: restore it, or delete it") from None
