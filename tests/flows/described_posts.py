"""The real flow over images that stand for items of a made stream: their colour is the number of the item.

So the clusterer sees embeddings and patches among which clusters are born, merged and split.
"""

from collections.abc import Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Final

import orjson
from PIL import Image

from core.records import Features, Pixels, Vector
from models.base import ImageEmbedder
from models.loading import Models
from models.stages import MODEL_STAGES
from tests.models.clusterers.test_verified import DIMENSION, Item, stream

_COLOURS: Final = 256


@cache
def items(seed: int) -> list[Item]:
    """Templates, each with some images, among strangers."""
    return stream(8, 8, 80, seed)


class Described(ImageEmbedder):
    """Looks the number of an item up."""

    stage = "embedding"
    name = "described"
    batch_size = 8
    dimension = DIMENSION

    def __init__(self, seed: int) -> None:
        self._items = items(seed)

    def infer(self, batch: Sequence[Pixels]) -> list[Vector]:
        return [it.embedding for it in self.describe(batch)]

    def describe(self, batch: Sequence[Pixels]) -> list[Features]:
        numbers = [int(image[0, 0, 0]) * _COLOURS + int(image[0, 0, 1]) for image in batch]
        return [Features(self._items[it][0], self._items[it][1].patches) for it in numbers]


def described_models(seed: int) -> Models:
    """Described images, fakes for the other stages."""
    return Models(Described(seed), *(it.model.fake() for it in MODEL_STAGES if it.model and it.name != Described.stage))


def described_posts(folder: Path, seed: int) -> Path:
    """A file of a post for each item, beside its image."""
    folder.mkdir(parents=True)
    lines = []
    for number, (_, beside, _) in enumerate(items(seed)):
        file = BytesIO()
        Image.new("RGB", (8, 8), (number // _COLOURS, number % _COLOURS, 0)).save(file, "png")
        (folder / f"{number}.png").write_bytes(file.getvalue())
        lines.append(orjson.dumps({"global_id": f"{beside.post}-reddit", "url": f"{number}.png", "source": "reddit"}))
    (folder / "posts.jsonl").write_bytes(b"\n".join([*lines, b""]))
    return folder / "posts.jsonl"
