"""What is known of images and texts before fetching and models process them: poison marks and cached results."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from bytewax.dataflow import Stream, operator

from connectors.caching.cached_results import IMAGE, CachedResults
from connectors.caching.result_cache import ResultCache
from connectors.chosen_endpoints import Destinations
from connectors.fetching.poison_items import PoisonMarks
from core.records import Removal
from models.loading import Models
from models.model_settings import CacheSettings
from models.stages import MODEL_STAGES
from operators.broadcast import broadcast_to_machines
from operators.operator_settings import InputSettings, OutputSettings

_DEATHS: Final = "decoding"
"""Folder in the recovery folder."""
CACHE: Final = "cache"
"""Folder in a store or, without one, in the folder that holds `control/`."""
_NOT_IN_CACHE_KEY: Final = frozenset({"vit_batch", "text_batch", "text_engine", "ocr_weights"})
"""Settings of models that do not change results: speed, and the place of weights, whose hash is in the model's name."""


@dataclass(frozen=True, slots=True)
class ItemMemory:
    """What earlier processing of images and texts left behind."""

    deaths: PoisonMarks | None = None
    """Items at which processes died."""
    cached: CachedResults | None = None
    """Results from the cache."""


NOTHING: Final = ItemMemory()


def open_item_memory(reading: InputSettings, writing: OutputSettings, models: Models) -> ItemMemory:
    """Open poison marks and cache as the settings say; raises `WorldError` if they cannot be read."""
    return ItemMemory(poison_marks_of(reading), _cached_of(reading, writing, models))


def poison_marks_of(settings: InputSettings) -> PoisonMarks | None:
    """Open the poison marks of images and texts; raises `WorldError` if they cannot be read.

    None for fake models, and if the run does not resume: then the same command starts over, and dies at the same item.
    """
    is_kept = settings.models != "fake" and settings.recovery is not None and settings.recovery.is_dir()
    return PoisonMarks(settings.recovery / _DEATHS) if is_kept and settings.recovery else None


@operator
def forget_cached(step_id: str, removals: Stream[Removal], settings: OutputSettings, memory: ItemMemory) -> None:
    """Forget the cached results of removed posts, in the cache of each machine."""
    if memory.cached is not None:
        broadcast_to_machines("each_machine", removals, settings.recovery, memory.cached.forget)


def cache_folder(settings: OutputSettings) -> Path:
    """Return the folder of the cache."""
    return settings.cache_folder or Destinations.of(settings).states(settings.state_dir)[0] / CACHE


def _cached_of(reading: InputSettings, writing: OutputSettings, models: Models) -> CachedResults | None:
    if writing.cache == "off" or reading.models == "fake":
        return None
    image = f"{reading.fetch_max_pixels} {reading.fetch_max_side}"
    identities = {IMAGE: f"{image} {writing.wanted_thumbnails()}"}
    of_images = []
    for stage in MODEL_STAGES:
        assert stage.model is not None
        own = _values(reading, stage.model.settings)
        is_of_image = stage.model.subject == "image"
        identities[stage.name] = f"{models.of(stage.name).name} {own}{f' {image}' if is_of_image else ''}"
        if is_of_image:
            of_images.append(stage.name)
    cache = ResultCache(cache_folder(writing), writing.cache_bytes)
    return CachedResults(cache, identities, of_images, finds_copies=writing.cache == "near")


def _values(settings: Any, group: type[Any]) -> str:
    """Serialise the settings that a model's results depend on, besides its name."""
    names = sorted(set(group.model_fields) - set(CacheSettings.model_fields) - _NOT_IN_CACHE_KEY)
    values: Mapping[str, Any] = {name: getattr(settings, name) for name in names}
    return orjson.dumps(values, default=str).decode()
