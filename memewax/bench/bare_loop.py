"""A bare loop over the models, without a flow: the baseline of the pipeline benchmark.

`python -m memewax.bench.bare_loop POSTS` reads the images of a file of posts and runs the models of the settings on
them, in the same batch sizes as the flow. It prints `ready` once models are loaded, starts when it reads a line from
stdin, and prints a JSON list of the time at which each post was done, in seconds since 1970.
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
    """Load the models, wait for a line on stdin, process all posts, and print their times."""
    settings = load_settings()
    posts = posts_of(file, "text")
    models = load_models(settings)
    print("ready", flush=True)
    sys.stdin.readline()
    done: list[float] = []
    for start in range(0, len(posts), settings.read_batch):
        batch = posts[start : start + settings.read_batch]
        images = [_checked(image_of(it, settings)) for it in batch]
        _run_models(models, images)
        done += [time.time()] * len(batch)
    print(orjson.dumps(done).decode(), flush=True)


def _checked(image: Pixels | Failure) -> Pixels:
    if isinstance(image, Failure):
        raise WorldError(f"an image cannot be read: {image.reason}")
    return image


def _run_models(models: Models, images: Sequence[Pixels]) -> None:
    """Run the models on a batch as the steps of the flow do."""
    size = models.image.batch_size
    for start in range(0, len(images), size):
        models.image.describe(images[start : start + size])
    texts = [it.as_read for it in models.ocr(images) if isinstance(it, Reading)]
    models.entities(texts)
    models.sentiment(texts)
    models.text([text for text in texts if text.strip()])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
