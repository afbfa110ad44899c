"""The flow over models that cost nothing and answer as real ones do in size: vectors of 384 numbers, captions of words.

`memewax.bench.mixed_flow` is run as the flow of `memewax.commands.worker`, with the settings of fake models: so
images are not fetched, and all are of one cluster.
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
"""Different answers; after these the first comes again."""


class MixedImage(FakeImage):
    """A mixed vector for each image, whatever it shows."""

    dimension = DIMENSION

    def __init__(self, vectors: Iterator[Vector]) -> None:
        self._next = vectors

    def infer(self, batch: Sequence[Pixels]) -> list[Vector]:
        """A unit vector for each image; raises `ValueError` if one is no image."""
        return [next(self._next) for image in batch if check_pixels(image) is not None]


class MixedOcr(FakeOcr):
    """A caption for each image, whatever it shows."""

    def __init__(self, captions: Iterator[str]) -> None:
        self._next = captions

    def infer(self, batch: Sequence[Pixels]) -> list[Reading]:
        """The reading for each image; raises `ValueError` if one is no image."""
        box = ((0.0, 0.0), (300.0, 0.0), (300.0, 40.0), (0.0, 40.0))
        return [Reading((Line(next(self._next), 0.9, box),)) for image in batch if check_pixels(image) is not None]


class MixedText(FakeText):
    """A mixed vector for each text, whatever it says."""

    dimension = DIMENSION

    def __init__(self, vectors: Iterator[Vector]) -> None:
        self._next = vectors

    def infer(self, batch: Sequence[str]) -> list[Vector]:
        """A unit vector for each text; raises `ValueError` if one is no string."""
        return [next(self._next) for _ in check_texts(batch)]


def mixed_models() -> Models:
    """Models whose answers are as large as those of real ones."""
    rows = made_rows(_POOL)
    images = cycle([row["embeddings"] for row in rows])
    texts = cycle([row["text_embedding"] for row in rows])
    captions = cycle([row["text"] for row in rows])
    return Models(MixedImage(images), MixedOcr(captions), FakeEntities(), FakeSentiment(), MixedText(texts))


def flow() -> Dataflow:
    """What a worker runs."""

    def build(settings: Settings, _: Models, make_clusterer: Callable[[], Clusterer], first: FirstNumbers) -> Dataflow:
        return memes(settings, mixed_models(), make_clusterer, first)

    return started(build)
