"""The clusterer that the settings ask for."""

from functools import partial
from typing import TYPE_CHECKING

from memewax.errors import SettingsError
from memewax.settings import Settings
from models.clusterer import Clusterer, StandInClusterer

if TYPE_CHECKING:
    from collections.abc import Callable


def make_clusterer(settings: Settings) -> Clusterer:
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
