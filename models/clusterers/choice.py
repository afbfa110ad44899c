"""The clusterer that the settings ask for."""

from functools import partial
from typing import TYPE_CHECKING, Final

from core.errors import SettingsError
from models.clusterer import Clusterer, StandInClusterer
from models.model_settings import ClusterSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from models.clusterers.agreement import Agreement

STRICT: Final = {"join": 0.7, "merge": 0.7, "start": 0.9}
"""Parameters of a shard: what it puts together nobody takes apart."""


def make_clusterer(settings: ClusterSettings) -> Clusterer:
    """A new one; raises `SettingsError` for a parameter that it does not have.

    Names are those of `MEMEWAX_CLUSTERER`: `relevant`, `dbstream`, and river's own as `river-…`.
    """
    if settings.models == "stand-in":
        return StandInClusterer()
    # Late, since river takes a while to import.
    from models.clusterers.dbstream import DbstreamClusterer
    from models.clusterers.relevant import RelevantClusterer
    from models.clusterers.river_clusterer import KINDS, RiverClusterer

    kinds: dict[str, Callable[..., Clusterer]] = {
        "relevant": RelevantClusterer,
        "dbstream": DbstreamClusterer,
        **{f"river-{kind.lower()}": partial(RiverClusterer, kind) for kind in KINDS},
    }
    try:
        return kinds[settings.clusterer](**settings.clusterer_parameters)
    except TypeError as error:
        raise SettingsError(f"MEMEWAX_CLUSTERER_PARAMETERS of {settings.clusterer}: {error}") from None


def make_shard(settings: ClusterSettings) -> Clusterer:
    """One of several that learn side by side."""
    from models.clusterers.relevant import RelevantClusterer

    return RelevantClusterer(**{**settings.clusterer_parameters, **STRICT})


def make_agreement(settings: ClusterSettings) -> "Agreement":
    """What agrees on the clusters of all; raises `SettingsError` for a clusterer that has no shards."""
    from models.clusterers.agreement import Agreement

    if settings.clusterer != "relevant":
        raise SettingsError(f"MEMEWAX_CLUSTER_SHARDS is for the clusterer relevant: {settings.clusterer} has but one")
    return Agreement(**settings.clusterer_parameters)
