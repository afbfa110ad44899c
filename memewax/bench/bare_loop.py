"""A bare loop over the models, with no flow around them: what a flow is measured against.

`python -m memewax.bench.bare_loop POSTS` reads the images of a file of posts and shows them to the models of the
settings, as many at a time as the flow does. It writes `ready` when models are loaded, begins when a line comes on
stdin, and writes a JSON list of when each post was done, in seconds since 1970.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import orjson

from core.errors import WorldError
from core.records import Failure, Pixels, Reading
from dataflows.all_settings import load_settings
from memewax.evaluation.data import image_of, posts_of
from models.loading import Models, load_models


def main(file: Path) -> None:
    """Load, wait, loop, and tell."""
    settings = load_settings()
    posts = posts_of(file, "text")
    models = load_models(settings)
    print("ready", flush=True)
    sys.stdin.readline()
    done: list[float] = []
    for start in range(0, len(posts), settings.read_batch):
        batch = posts[start : start + settings.read_batch]
        images = [_good(image_of(it, settings)) for it in batch]
        _show(models, images)
        done += [time.time()] * len(batch)
    print(orjson.dumps(done).decode(), flush=True)


def _good(image: Pixels | Failure) -> Pixels:
    if isinstance(image, Failure):
        raise WorldError(f"an image cannot be measured by: {image.reason}")
    return image


def _show(models: Models, images: Sequence[Pixels]) -> None:
    """What the steps of the flow ask of the models."""
    size = models.image.batch_size
    for start in range(0, len(images), size):
        models.image.describe(images[start : start + size])
    texts = [it.as_read for it in models.ocr(images) if isinstance(it, Reading)]
    models.entities(texts)
    models.sentiment(texts)
    models.text([text for text in texts if text.strip()])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
