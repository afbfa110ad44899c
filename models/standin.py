"""Stand-ins that answer at once without looking: they measure the flow itself and keep tests fast.

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


class StandInImage(ImageEmbedder):
    """One of eight unit vectors, by the picture's first value."""

    stage = "embedding"
    name = "stand-in"
    batch_size = _BATCH
    dimension = 8

    def __init__(self) -> None:
        self._vectors = _unit_vectors(self.dimension)

    def infer(self, batch: Sequence[Pixels]) -> list[Vector]:
        """A unit vector for each picture; raises `ValueError` if one is no picture."""
        return [self._vectors[int(check_pixels(picture)[0, 0, 0]) % self.dimension] for picture in batch]


class StandInOcr(Model[Pixels, Reading]):
    """The same line of text in every picture."""

    stage = "text"
    name = "stand-in"
    batch_size = _BATCH
    reading = Reading((Line("Hello Paris", 1.0, ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))),))

    def infer(self, batch: Sequence[Pixels]) -> list[Reading]:
        """The reading for each picture; raises `ValueError` if one is no picture."""
        for picture in batch:
            check_pixels(picture)
        return [self.reading] * len(batch)


class StandInEntities(Model[str, tuple[Entity, ...]]):
    """The first word of every text that has one."""

    stage = "entities"
    name = "stand-in"
    batch_size = _BATCH

    def infer(self, batch: Sequence[str]) -> list[tuple[Entity, ...]]:
        """At most one entity a text; raises `ValueError` if one is no string."""
        return [self._first(text) for text in check_texts(batch)]

    def _first(self, text: str) -> tuple[Entity, ...]:
        word = text.partition(" ")[0]
        return (Entity(word, "MISC", 0, len(word)),) if word else ()


class StandInSentiment(Model[str, Sentiment]):
    """Neutral, whatever the text."""

    stage = "sentiment"
    name = "stand-in"
    batch_size = _BATCH
    neutral = Sentiment(negative=0.0, neutral=1.0, positive=0.0, compound=0.0)

    def infer(self, batch: Sequence[str]) -> list[Sentiment]:
        """Neutral for each text; raises `ValueError` if one is no string."""
        return [self.neutral] * len(check_texts(batch))


class StandInText(Embedder[str]):
    """One of eight unit vectors, by the text's length."""

    stage = "text_embedding"
    name = "stand-in"
    batch_size = _BATCH
    dimension = 8

    def __init__(self) -> None:
        self._vectors = _unit_vectors(self.dimension)

    def infer(self, batch: Sequence[str]) -> list[Vector]:
        """A unit vector for each text; raises `ValueError` if one is no string."""
        return [self._vectors[len(text) % self.dimension] for text in check_texts(batch)]
