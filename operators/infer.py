"""Models as steps: every item gets an answer, and a failure is one.

A step answers all that it was given before it returns. So nothing is between the source and the join when a snapshot is
taken, and a busy flow fills its batches while an idle one does not wait.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Final, TypeVar

import numpy as np
from bytewax import operators as op
from bytewax.dataflow import Stream

from core.records import Arrival, Embedded, Entity, Failed, Pixels, Reading, Sentiment, Side, Vector
from core.telemetry import STEP_ERRORS, step
from models.base import Model
from models.fingerprint import fingerprint

_SMALLEST: Final = 16
"""Pixels: a smaller picture has no looks to compare."""

X = TypeVar("X")
In = TypeVar("In")
Out = TypeVar("Out")

Subject = tuple[str, In | Failed | None]
"""A `global_id` with what the model is to look at, None where there is nothing to look at."""


@dataclass(frozen=True, slots=True)
class Read:
    """What was read in a post's picture, with the caption that stands beside it."""

    side: Side[Reading]
    caption: str


def embed_pictures(step_id: str, arrivals: Stream[Arrival], model: Model[Pixels, Vector]) -> Stream[Embedded]:
    """Embed the picture of each post, and fingerprint it."""

    def subject(arrival: Arrival) -> Subject[Pixels]:
        return arrival.post.global_id, arrival.picture

    def embed(batch: list[Arrival]) -> list[Embedded]:
        sides = _answer(model, batch, subject)
        return [Embedded(side, _fingerprint(side, arrival)) for side, arrival in zip(sides, batch, strict=True)]

    return op.flat_map_batch(step_id, arrivals, embed)


def embeddings_of(step_id: str, embedded: Stream[Embedded]) -> Stream[Side[Vector]]:
    """The embeddings alone."""
    return op.map(step_id, embedded, lambda it: it.side)


def _fingerprint(side: Side[Vector], arrival: Arrival) -> bytes | None:
    picture = arrival.picture
    if isinstance(picture, Failed) or not isinstance(side.value, np.ndarray) or min(picture.shape[:2]) < _SMALLEST:
        return None
    return fingerprint(picture)


def read_pictures(step_id: str, arrivals: Stream[Arrival], model: Model[Pixels, Reading]) -> Stream[Read]:
    """Read the text in the picture of each post."""

    def subject(arrival: Arrival) -> Subject[Pixels]:
        return arrival.post.global_id, arrival.picture

    def read(batch: list[Arrival]) -> list[Read]:
        sides = _answer(model, batch, subject)
        return [Read(side, arrival.post.description) for side, arrival in zip(sides, batch, strict=True)]

    return op.flat_map_batch(step_id, arrivals, read)


def find_entities(
    step_id: str, reads: Stream[Read], model: Model[str, tuple[Entity, ...]]
) -> Stream[Side[tuple[Entity, ...]]]:
    """Find the entities in the text as it was read."""
    return op.flat_map_batch(step_id, reads, lambda batch: _answer(model, batch, _text_as_read))


def score_sentiment(step_id: str, reads: Stream[Read], model: Model[str, Sentiment]) -> Stream[Side[Sentiment]]:
    """Score the sentiment of the text as it was read."""
    return op.flat_map_batch(step_id, reads, lambda batch: _answer(model, batch, _text_as_read))


def embed_texts(step_id: str, reads: Stream[Read], model: Model[str, Vector]) -> Stream[Side[Vector]]:
    """Embed caption and text together; a post with neither has no embedding, which is no failure."""

    def subject(read: Read) -> Subject[str]:
        value = read.side.value
        parts = [read.caption, "" if value is None or isinstance(value, Failed) else value.as_read]
        text = "\n".join(part for part in parts if part.strip())
        if not text and isinstance(value, Failed):
            return read.side.global_id, value
        return read.side.global_id, text or None

    return op.flat_map_batch(step_id, reads, lambda batch: _answer(model, batch, subject))


def _text_as_read(read: Read) -> Subject[str]:
    value = read.side.value
    return read.side.global_id, value.as_read if isinstance(value, Reading) else value


def _answer(model: Model[In, Out], batch: list[X], subject: Callable[[X], Subject[In]]) -> list[Side[Out]]:
    """One side for each item of `batch`; the model sees only those that there is something to look at in."""
    subjects = [subject(item) for item in batch]
    given = [it for _, it in subjects if it is not None and not isinstance(it, Failed)]
    start = perf_counter()
    with step(model.stage, len(given)):
        answers = model(given) if given else []
    seconds = (perf_counter() - start) / max(1, len(given))
    failures = sum(isinstance(answer, Failed) for answer in answers)
    if failures:
        STEP_ERRORS.labels(model.stage).inc(failures)
    results = iter(answers)
    return [
        Side(global_id, model.stage, it, 0.0, model.name)
        if it is None or isinstance(it, Failed)
        else Side(global_id, model.stage, next(results), seconds, model.name)
        for global_id, it in subjects
    ]
