"""The flow with models that cost nothing but return results of realistic size: vectors of 384 dimensions, captions.

`memewax.commands.worker` runs `memewax.bench.mixed_flow` as its flow, with the settings of fake models. So images are
not fetched, and all posts are in one cluster.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle

from bytewax.dataflow import Dataflow

from core.records import Line, Pixels, Reading, Vector
from dataflows.all_settings import Settings
from dataflows.memes import memes
from dataflows.starting import started
from memewax.bench.grown_store import DIMENSION, made_rows
from models.clusterer import Clusterer
from models.fake_models import FakeEntities, FakeImage, FakeOcr, FakeSentiment, FakeText
from models.loading import Models
from models.validation import check_pixels, check_texts
from operators.first_ids import FirstNumbers

_POOL = 2048
"""Number of distinct results; they repeat in a cycle."""


class MixedImage(FakeImage):
    """Fake image model that returns the next mixed vector, whatever the image."""

    dimension = DIMENSION

    def __init__(self, vectors: Iterator[Vector]) -> None:
        self._next = vectors

    def infer(self, batch: Sequence[Pixels]) -> list[Vector]:
        """Return a unit vector per image; raises `ValueError` if one is not an image."""
        return [next(self._next) for image in batch if check_pixels(image) is not None]


class MixedOcr(FakeOcr):
    """Fake OCR model that returns the next caption, whatever the image."""

    def __init__(self, captions: Iterator[str]) -> None:
        self._next = captions

    def infer(self, batch: Sequence[Pixels]) -> list[Reading]:
        """Return a reading of one line per image; raises `ValueError` if one is not an image."""
        box = ((0.0, 0.0), (300.0, 0.0), (300.0, 40.0), (0.0, 40.0))
        return [Reading((Line(next(self._next), 0.9, box),)) for image in batch if check_pixels(image) is not None]


class MixedText(FakeText):
    """Fake text model that returns the next mixed vector, whatever the text."""

    dimension = DIMENSION

    def __init__(self, vectors: Iterator[Vector]) -> None:
        self._next = vectors

    def infer(self, batch: Sequence[str]) -> list[Vector]:
        """Return a unit vector per text; raises `ValueError` if one is not a string."""
        return [next(self._next) for _ in check_texts(batch)]


def mixed_models() -> Models:
    """Return fake models whose results are as large as those of real ones."""
    rows = made_rows(_POOL)
    images = cycle([row["embeddings"] for row in rows])
    texts = cycle([row["text_embedding"] for row in rows])
    captions = cycle([row["text"] for row in rows])
    return Models(MixedImage(images), MixedOcr(captions), FakeEntities(), FakeSentiment(), MixedText(texts))


def flow() -> Dataflow:
    """Build the flow that a worker runs."""

    def build(settings: Settings, _: Models, make_clusterer: Callable[[], Clusterer], first: FirstNumbers) -> Dataflow:
        return memes(settings, mixed_models(), make_clusterer, first)

    return started(build)
