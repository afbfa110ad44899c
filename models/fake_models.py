"""Fake models that return fixed results at once: they measure the dataflow itself and keep tests fast.

They accept and reject the same inputs as the real models, and both pass the same test suite.
"""

from collections.abc import Sequence

import numpy as np

from core.records import Entity, Line, Pixels, Reading, Sentiment, Vector
from models.base import Embedder, ImageEmbedder, Model
from models.validation import check_pixels, check_texts

_BATCH = 1024
"""Small batches gain nothing here, so it exceeds the batches of the dataflow."""


def _unit_vectors(dimension: int) -> list[Vector]:
    vectors = list(np.eye(dimension, dtype=np.float32))
    for vector in vectors:
        vector.flags.writeable = False  # all results share them
    return vectors


class FakeImage(ImageEmbedder):
    """A fake image embedder: one of eight unit vectors, chosen by the first value of the image."""

    stage = "embedding"
    name = "fake"
    batch_size = _BATCH
    dimension = 8

    def __init__(self) -> None:
        self._vectors = _unit_vectors(self.dimension)

    def infer(self, batch: Sequence[Pixels]) -> list[Vector]:
        """Return a unit vector for each image; raises `ValueError` if one is not an image."""
        return [self._vectors[int(check_pixels(image)[0, 0, 0]) % self.dimension] for image in batch]


class FakeOcr(Model[Pixels, Reading]):
    """Fake OCR: the same line of text in every image."""

    stage = "text"
    name = "fake"
    batch_size = _BATCH
    reading = Reading((Line("Hello Paris", 1.0, ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))),))

    def infer(self, batch: Sequence[Pixels]) -> list[Reading]:
        """Return the same reading for each image; raises `ValueError` if one is not an image."""
        for image in batch:
            check_pixels(image)
        return [self.reading] * len(batch)


class FakeEntities(Model[str, tuple[Entity, ...]]):
    """Fake entity recogniser: the first word of every text."""

    stage = "entities"
    name = "fake"
    batch_size = _BATCH

    def infer(self, batch: Sequence[str]) -> list[tuple[Entity, ...]]:
        """Return at most one entity per text; raises `ValueError` if one is not a string."""
        return [self._first(text) for text in check_texts(batch)]

    def _first(self, text: str) -> tuple[Entity, ...]:
        word = text.partition(" ")[0]
        return (Entity(word, "MISC", 0, len(word)),) if word else ()


class FakeSentiment(Model[str, Sentiment]):
    """A fake sentiment model: every text is neutral."""

    stage = "sentiment"
    name = "fake"
    batch_size = _BATCH
    neutral = Sentiment(negative=0.0, neutral=1.0, positive=0.0, compound=0.0)

    def infer(self, batch: Sequence[str]) -> list[Sentiment]:
        """Return neutral for each text; raises `ValueError` if one is not a string."""
        return [self.neutral] * len(check_texts(batch))


class FakeText(Embedder[str]):
    """A fake sentence embedder: one of eight unit vectors, chosen by the text's length."""

    stage = "text_embedding"
    name = "fake"
    batch_size = _BATCH
    dimension = 8

    def __init__(self) -> None:
        self._vectors = _unit_vectors(self.dimension)

    def infer(self, batch: Sequence[str]) -> list[Vector]:
        """Return a unit vector for each text; raises `ValueError` if one is not a string."""
        return [self._vectors[len(text) % self.dimension] for text in check_texts(batch)]
