"""`eval search` by image: whether a cropped and recompressed image finds the post that it is from.

For images of posts that are left out of the index, nothing should be found. There, posts of the same template count as
wrong hits, since the data do not label them; so that figure is too low rather than too high.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from core.errors import WorldError
from core.records import Failure
from memewax.evaluation.eval_search import left_out
from memewax.evaluation.measures import Figure, Indices, with_intervals
from search.answering import Embedders
from search.image_search import ImageSearch

_SEED: Final = 0
_CROPPED: Final = 0.1
"""Share of each side that is cropped."""
_SCALE: Final = 0.7
"""Every other image is also scaled down by this factor."""
_QUALITY: Final = 50
_LOOKED_AT: Final = 100


@dataclass(frozen=True, slots=True)
class ImageSearchAnswer:
    """Result of a search by image."""

    place: int
    """Rank of the right post, from 1; 0 if it was not found."""
    has_strong: bool
    """Whether there was a strong hit."""


FindByLooks = Callable[[bytes], tuple[Sequence[str], bool]]
"""Searches by image; returns the ids of the hits, and whether any of them is strong."""


def measure_images(files: Mapping[str, Path], find: FindByLooks) -> dict[str, Figure]:
    """Measure search by modified images.

    Args:
        files: Image of each post, by id.
        find: Searches by image among the posts that are not `left_out`.

    Raises:
        WorldError: There are too few images.
    """
    random = np.random.default_rng(_SEED)
    there: list[ImageSearchAnswer] = []
    silent: list[bool] = []
    for number, (id_, file) in enumerate(files.items()):
        ids, has_strong = find(changed(file.read_bytes(), random, is_scaled=number % 2 == 1))
        if left_out(id_):
            silent.append(not has_strong)
        else:
            there.append(ImageSearchAnswer(ids.index(id_) + 1 if id_ in ids else 0, has_strong))
    if not there or not silent:
        raise WorldError(f"{len(files)} images are too few to measure search: give a few dozen")
    places, spoken = np.array([it.place for it in there]), np.array([it.has_strong for it in there])

    def measured(indices: Indices) -> dict[str, float]:
        at = places[indices]
        return {
            "images.recall_at_1": float((at == 1).mean()),
            "images.recall_at_5": float(((at > 0) & (at <= 5)).mean()),
            "images.mrr": float(np.where(at > 0, 1 / np.maximum(at, 1), 0.0).mean()),
            "images.nothing_found.wrong": float((~spoken[indices]).mean()),
        }

    right = np.array(silent)
    figures = with_intervals(len(there), measured)
    return figures | with_intervals(
        len(right), lambda indices: {"images.nothing_found.right": float(right[indices].mean())}
    )


def changed(data: bytes, random: np.random.Generator, *, is_scaled: bool) -> bytes:
    """Modify an image as people do who share it: crop it, scale it down if asked to, and recompress it as JPEG."""
    image = Image.open(BytesIO(data)).convert("RGB")
    width, height = image.size
    left, top = (int(random.uniform(0, _CROPPED) * side) for side in (width, height))
    right, bottom = left + round(width * (1 - _CROPPED)), top + round(height * (1 - _CROPPED))
    image = image.crop((left, top, min(right, width), min(bottom, height)))
    if is_scaled:
        image = image.resize((max(1, round(image.width * _SCALE)), max(1, round(image.height * _SCALE))))
    out = BytesIO()
    image.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()


def search_by_image(images: ImageSearch, models: Embedders) -> FindByLooks:
    """Return a function that searches a store by image, without the posts that are `left_out`."""

    def find(data: bytes) -> tuple[Sequence[str], bool]:
        if isinstance(models.image, Failure):
            raise WorldError(models.image.reason)
        (vector,) = models.image([models.decode(data)])
        if isinstance(vector, Failure):
            raise WorldError(vector.reason)
        found = images.search(vector, models.image.name, _LOOKED_AT)
        ids = [it.hit.id for it in (*found.strong, *found.weak) if not left_out(it.hit.id)]
        return ids, any(not left_out(it.hit.id) for it in found.strong)

    return find
