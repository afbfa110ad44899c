"""Build the clusterer of the settings, alone or sharded."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from core.errors import SettingsError
from models.clusterer import Clusterer, FakeClusterer
from models.model_settings import ClusterSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.clusterers.shard_merger import ShardMerger

_SHARDED: Final = ("verified", "relevant")
STRICT: Final = {"join": 0.7, "merge": 0.7, "start": 0.9}
"""Parameters of a shard of `relevant`. It is strict because nothing later splits what it joined."""


def make_clusterer(settings: ClusterSettings) -> Clusterer:
    """Build the clusterer of MEMEWAX_CLUSTERER: `verified`, `relevant`, `dbstream` or one of river's, `river-…`.

    Raises:
        SettingsError: If MEMEWAX_CLUSTERER_PARAMETERS has a parameter that it lacks.
    """
    if settings.models == "fake":
        return FakeClusterer()
    return named_clusterer(settings.clusterer, settings.clusterer_parameters)


def named_clusterer(name: str, parameters: Mapping[str, Any]) -> Clusterer:
    """Build a clusterer by its name in MEMEWAX_CLUSTERER; raises `SettingsError` if it or a parameter is unknown."""
    # Imported late because their libraries take a while to import.
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
    if name not in kinds:
        raise SettingsError(f"there is no clusterer {name!r}; expected one of {', '.join(kinds)}")
    try:
        return kinds[name](**parameters)
    except TypeError as error:
        raise SettingsError(f"MEMEWAX_CLUSTERER_PARAMETERS of {name}: {error}") from None


def make_shard(settings: ClusterSettings) -> Clusterer:
    """Build the clusterer of one shard; raises `SettingsError` as `make_clusterer` does."""
    if settings.clusterer == "relevant":
        return make_clusterer(
            settings.model_copy(update={"clusterer_parameters": {**settings.clusterer_parameters, **STRICT}})
        )
    return make_clusterer(settings)


def make_shard_merger(settings: ClusterSettings) -> "ShardMerger":
    """Build the merger of the shards' clusters; raises `SettingsError` for a clusterer that cannot be sharded."""
    from models.clusterers.shard_merger import ShardMerger

    if settings.clusterer not in _SHARDED:
        names = " and ".join(_SHARDED)
        raise SettingsError(
            f"MEMEWAX_CLUSTER_SHARDS is for the clusterers {names}: {settings.clusterer} cannot be sharded, set it to 1"
        )
    return ShardMerger(make_clusterer(settings))
