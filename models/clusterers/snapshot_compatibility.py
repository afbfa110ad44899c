"""Whether clusters of a recovery folder can be gone on with, as the settings are now."""

from typing import Any

from core.errors import SettingsError
from models.clusterers.choice import STRICT

_ANEW = "or begin anew with an empty recovery folder"


def check_same(state: dict[str, Any], clusterer: str, shards: int) -> None:
    """Raises `SettingsError` where a snapshot was taken of another clusterer or of another number of shards."""
    made_with = state["clusterer"]["algorithm"]
    if made_with != clusterer:
        raise SettingsError(
            f"the recovery folder holds clusters of {made_with}, not of {clusterer}: "
            f"set MEMEWAX_CLUSTERER={made_with} to go on with them, {_ANEW}"
        )
    made_by = state["shards"] if "shards" in state else _before_it_was_noted(state, shards)
    if made_by != shards:
        raise SettingsError(
            f"the recovery folder holds clusters made by {made_by} {'shard' if made_by == 1 else 'shards'}, "
            f"and now there are to be {shards}: set MEMEWAX_CLUSTER_SHARDS={made_by} to go on with them, {_ANEW}"
        )


def check_dimension(learned: int | None, coming: int | None) -> None:
    """Raises `SettingsError` where embeddings to come have other numbers than those learned; None: not known."""
    if learned is not None and coming is not None and learned != coming:
        raise SettingsError(
            f"the recovery folder holds clusters of embeddings of {learned} numbers, and those of the image model "
            f"have {coming}: set MEMEWAX_VIT to the model that it was made with, {_ANEW}"
        )


def _before_it_was_noted(state: dict[str, Any], shards: int) -> int:
    """Versions 1 and 2 did not say it; shards can be told by their parameters, but not how many they were."""
    if not STRICT.items() <= state["clusterer"].get("parameters", {}).items():
        return 1
    if shards > 1:
        return shards  # as many as then, one has to suppose
    raise SettingsError(
        "the recovery folder holds clusters of several shards, and now there is to be one: "
        f"set MEMEWAX_CLUSTER_SHARDS to what it was to go on with them, {_ANEW}"
    )
