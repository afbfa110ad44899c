"""Fakes that answer at once without looking: they measure the flow itself and keep tests fast.

What they accept and refuse is what the real models accept and refuse, and both pass the same suite.
"""

from collections.abc import Sequence

import numpy as np

from core.records import Entity, Line, Pixels, Reading, Sentiment, Vector
from models.base import Embedder, ImageEmbedder, Model
from models.validation import check_pixels, check_texts

_BATCH = 1024
"""Nothing is gained by small batches here; the flow's own batches pass whole."""


def _unit_vectors(dimension: int) -> list[Vector]:
    vectors = list(np.eye(dimension, dtype=np.float32))
    for vector in vectors:
        vector.flags.writeable = False  # they are shared by all answers
    return vectors


class FakeImage(ImageEmbedder):
    """One of eight unit vectors, by the image's first value."""

    stage = "embedding"
    name = "fake"
    batch_size = _BATCH
    dimension = 8

    def __init__(self) -> None:
        self._vectors = _unit_vectors(self.dimension)

    def infer(self, batch: Sequence[Pixels]) -> list[Vector]:
        """A unit vector for each image; raises `ValueError` if one is no image."""
        return [self._vectors[int(check_pixels(image)[0, 0, 0]) % self.dimension] for image in batch]


class FakeOcr(Model[Pixels, Reading]):
    """The same line of text in every image."""

    stage = "text"
    name = "fake"
    batch_size = _BATCH
    reading = Reading((Line("Hello Paris", 1.0, ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))),))

    def infer(self, batch: Sequence[Pixels]) -> list[Reading]:
        """The reading for each image; raises `ValueError` if one is no image."""
        for image in batch:
            check_pixels(image)
        return [self.reading] * len(batch)


class FakeEntities(Model[str, tuple[Entity, ...]]):
    """The first word of every text that has one."""

    stage = "entities"
    name = "fake"
    batch_size = _BATCH

    def infer(self, batch: Sequence[str]) -> list[tuple[Entity, ...]]:
        """At most one entity a text; raises `ValueError` if one is no string."""
        return [self._first(text) for text in check_texts(batch)]

    def _first(self, text: str) -> tuple[Entity, ...]:
        word = text.partition(" ")[0]
        return (Entity(word, "MISC", 0, len(word)),) if word else ()


class FakeSentiment(Model[str, Sentiment]):
    """Neutral, whatever the text."""

    stage = "sentiment"
    name = "fake"
    batch_size = _BATCH
    neutral = Sentiment(negative=0.0, neutral=1.0, positive=0.0, compound=0.0)

    def infer(self, batch: Sequence[str]) -> list[Sentiment]:
        """Neutral for each text; raises `ValueError` if one is no string."""
        return [self.neutral] * len(check_texts(batch))


class FakeText(Embedder[str]):
    """One of eight unit vectors, by the text's length."""

    stage = "text_embedding"
    name = "fake"
    batch_size = _BATCH
    dimension = 8

    def __init__(self) -> None:
        self._vectors = _unit_vectors(self.dimension)

    def infer(self, batch: Sequence[str]) -> list[Vector]:
        """A unit vector for each text; raises `ValueError` if one is no string."""
        return [self._vectors[len(text) % self.dimension] for text in check_texts(batch)]
