"""The clusterer that the settings ask for."""

from functools import partial
from typing import TYPE_CHECKING, Final

from core.errors import SettingsError
from models.clusterer import Clusterer, FakeClusterer
from models.model_settings import ClusterSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.clusterers.shard_merger import ShardMerger

_SHARDED: Final = ("verified", "relevant")
STRICT: Final = {"join": 0.7, "merge": 0.7, "start": 0.9}
"""Parameters of a shard of `relevant`: what it puts together nobody takes apart."""


def make_clusterer(settings: ClusterSettings) -> Clusterer:
    """A new one; raises `SettingsError` for a parameter that it does not have.

    Names are those of `MEMEWAX_CLUSTERER`: `verified`, `relevant`, `dbstream`, and river's own as `river-…`.
    """
    if settings.models == "fake":
        return FakeClusterer()
    # Late, since what they are made with takes a while to import.
    from models.clusterers.dbstream import DbstreamClusterer
    from models.clusterers.rca_clusterer import RcaClusterer
    from models.clusterers.river_clusterer import KINDS, RiverClusterer
    from models.clusterers.verified import VerifiedClusterer

    kinds: dict[str, Callable[..., Clusterer]] = {
        "verified": VerifiedClusterer,
        "relevant": RcaClusterer,
        "dbstream": DbstreamClusterer,
        **{f"river-{kind.lower()}": partial(RiverClusterer, kind) for kind in KINDS},
    }
    try:
        return kinds[settings.clusterer](**settings.clusterer_parameters)
    except TypeError as error:
        raise SettingsError(f"MEMEWAX_CLUSTERER_PARAMETERS of {settings.clusterer}: {error}") from None


def make_shard(settings: ClusterSettings) -> Clusterer:
    """One of several that learn side by side."""
    if settings.clusterer == "relevant":
        return make_clusterer(
            settings.model_copy(update={"clusterer_parameters": {**settings.clusterer_parameters, **STRICT}})
        )
    return make_clusterer(settings)


def make_shard_merger(settings: ClusterSettings) -> "ShardMerger":
    """What agrees on the clusters of all; raises `SettingsError` for a clusterer that has no shards."""
    from models.clusterers.shard_merger import ShardMerger

    if settings.clusterer not in _SHARDED:
        names = " and ".join(_SHARDED)
        raise SettingsError(f"MEMEWAX_CLUSTER_SHARDS is for the clusterers {names}: {settings.clusterer} has but one")
    return ShardMerger(make_clusterer(settings))
