"""Check that a snapshot of clusters is compatible with the current settings."""

from typing import Any

from core.errors import SettingsError
from models.clusterers.choice import STRICT

_OR_RESET = "or start with an empty recovery folder"


def check_same(state: dict[str, Any], clusterer: str, shards: int) -> None:
    """Check that a snapshot is of this clusterer and this number of shards; raise `SettingsError` otherwise."""
    made_with = state["clusterer"]["algorithm"]
    if made_with != clusterer:
        raise SettingsError(
            f"the recovery folder holds clusters of {made_with}, not of {clusterer}: "
            f"set MEMEWAX_CLUSTERER={made_with} to continue with them, {_OR_RESET}"
        )
    made_by = state["shards"] if "shards" in state else _infer_shards(state, shards)
    if made_by != shards:
        raise SettingsError(
            f"the recovery folder holds clusters made by {made_by} {'shard' if made_by == 1 else 'shards'}, not by "
            f"{shards}: set MEMEWAX_CLUSTER_SHARDS={made_by} to continue with them, {_OR_RESET}"
        )


def check_dimension(learned: int | None, coming: int | None) -> None:
    """Check that two embedding dimensions are equal; raise `SettingsError` otherwise. None: unknown, not compared."""
    if learned is not None and coming is not None and learned != coming:
        raise SettingsError(
            f"the image model makes embeddings of {coming} numbers, but the clusters in the recovery folder were made "
            f"from embeddings of {learned}: set MEMEWAX_VIT to the earlier model, {_OR_RESET}"
        )


def _infer_shards(state: dict[str, Any], shards: int) -> int:
    """Infer the number of shards of snapshots 1 and 2, which lack it: their parameters show only one or several."""
    if not STRICT.items() <= state["clusterer"].get("parameters", {}).items():
        return 1
    if shards > 1:
        return shards  # assume that the setting is unchanged
    raise SettingsError(
        "the recovery folder holds clusters of several shards, not of one: "
        f"set MEMEWAX_CLUSTER_SHARDS to its former value to continue with them, {_OR_RESET}"
    )
