"""The real flow with models that look at pixels and cost nothing, to be run as a process of its own.

`python -m bytewax.run tests.flows.pixels_flow`, or `tests.flows.pixels_flow` as the flow of `memewax.commands.worker`.
`PIXELS_SECONDS` is how long each image takes, so that a signal lands amid the work, and `PIXELS_FIELDS` how many
fields the model sees on a side, 4 where it is not set. An image that holds `PIXELS_DEADLY` kills the process when it is
decoded.
"""

import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from bytewax.dataflow import Dataflow
from PIL import Image

from connectors.fetching import fetch
from connectors.fetching.decode import decode
from core.records import Features, Line, Patches, Pixels, Reading, Vector
from dataflows import starting
from dataflows.all_settings import Settings
from dataflows.memes import memes
from models.base import ImageEmbedder, Model
from models.clusterer import Clusterer
from models.loading import Models
from models.stages import MODEL_STAGES
from models.validation import check_pixels
from operators.first_ids import FirstNumbers
from tests.factories import GRID

SECONDS: Final = "PIXELS_SECONDS"
DEADLY: Final = "PIXELS_DEADLY"
"""What ends the process: `decoder` at a file that holds `MARK`, `model` at a white image."""
MARK: Final = b"deadly"
_WHITE: Final = 255
_OFFSET: Final = 1.0
"""Larger than what images differ by: real embeddings share a large mean too."""


class PixelGrid(ImageEmbedder):
    """Mean colours of a grid of fields."""

    stage = "embedding"
    name = "pixel-grid"
    batch_size = 8
    dimension = GRID * GRID * 3

    def infer(self, batch: Sequence[Pixels]) -> list[Vector]:
        return [it.embedding for it in self.describe(batch)]

    def describe(self, batch: Sequence[Pixels]) -> list[Features]:
        time.sleep(float(os.environ.get(SECONDS, "0")) * len(batch))
        return [Features(_embedding(check_pixels(image)), _patches(image)) for image in batch]


class PixelReader(Model[Pixels, Reading]):
    """Two words that say how bright an image is."""

    stage = "text"
    name = "pixel-reader"
    batch_size = 8

    def infer(self, batch: Sequence[Pixels]) -> list[Reading]:
        if os.environ.get(DEADLY) == "model" and any(it.min() == _WHITE for it in batch):
            _die()
        corners = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
        return [Reading((Line(f"Tone {check_pixels(it).mean():.2f}", 1.0, corners),)) for it in batch]


def _embedding(image: Pixels) -> Vector:
    height, width, _ = image.shape
    cut = image[: height // GRID * GRID, : width // GRID * GRID].astype(np.float32) / 255
    means = cut.reshape(GRID, height // GRID, GRID, width // GRID, 3).mean((1, 3)).ravel() + _OFFSET
    vector: Vector = means / np.linalg.norm(means)
    return vector


def _patches(image: Pixels) -> Patches:
    """Colours of a grid of 8 x 8 fields, around grey."""
    small = Image.fromarray(image).resize((8, 8), Image.Resampling.BOX)
    return (np.asarray(small, np.int16) - 128).clip(-127, 127).astype(np.int8)


def pixel_models() -> Models:
    """Models of pixels for embedding and reading, fakes for the other stages."""
    own: dict[str, Model[Pixels, Any]] = {model.stage: model for model in (PixelGrid(), PixelReader())}
    return Models(*(own.get(it.name) or it.model.fake() for it in MODEL_STAGES if it.model))


def _decode_or_die(data: bytes, **bounds: Any) -> Pixels:
    if MARK in data:
        _die()
    return decode(data, **bounds)


def _die() -> None:
    time.sleep(0.2)  # others are decoded meanwhile
    os.kill(os.getpid(), signal.SIGKILL)


def flow() -> Dataflow:
    """What a worker runs."""

    def build(settings: Settings, _models: Models, make: Callable[[], Clusterer], first: FirstNumbers) -> Dataflow:
        return memes(settings, pixel_models(), make, first)

    # Settings say `real`, so that images are fetched; those models are not loaded.
    if os.environ.get(DEADLY) == "decoder":
        fetch.decode = _decode_or_die  # type: ignore[assignment]
    starting.load_models = lambda _settings: pixel_models()
    starting.check_model_names = lambda _recovery, _settings: None
    return starting.started(build)
