"""Models as steps: every item gets an answer, and a failure is one.

A step answers all that it was given before it returns. So nothing is between the source and the join when a snapshot is
taken, and a busy flow fills its batches while an idle one does not wait. Each step may be told of what processes ended
at (`Deaths`).
"""

from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import itemgetter
from time import perf_counter
from typing import Any, Final, TypeVar, cast

import numpy as np
from bytewax.dataflow import Stream, operator

from connectors.fetching.deaths import Deaths
from core.records import Arrival, Failed, Pixels, Reading, Side, Vector
from core.telemetry import STEP_ERRORS, step
from models.base import Describer, Features, ImageEmbedder, Model
from models.fingerprint import fingerprint
from operators.steps import map_batch
from operators.watched import watched

_SMALLEST: Final = 16
"""Pixels: a smaller picture has no looks to compare."""

_NO_CAPTIONS: Final = repeat("")
Coming = tuple[str, int, str]
"""A post's `global_id`, the ticket of one of its arrivals, and the context of its trace."""
Given = TypeVar("Given")
Made = TypeVar("Made")


@operator
def infer_pictures(
    step_id: str, posts: Stream[Arrival], model: Model[Pixels, Any], deaths: Deaths | None = None
) -> Stream[Side[Any]]:
    """Show `model` the picture of each post."""
    looking = watched(model, deaths)
    return map_batch("infer", posts, lambda batch: answers(looking, _ids(batch), _pictures(batch)))


@operator
def infer_texts(
    step_id: str, read: Stream[Side[Reading]], model: Model[str, Any], deaths: Deaths | None = None
) -> Stream[Side[Any]]:
    """Show `model` the text of each picture as it was read."""
    looking = watched(model, deaths)

    def infer(batch: list[Side[Reading]]) -> list[Side[Any]]:
        return answers(looking, _of(batch), [_text_as_read(it) for it in batch])

    return map_batch("infer", read, infer)


@operator
def embed_pictures(
    step_id: str, posts: Stream[Arrival], model: ImageEmbedder, deaths: Deaths | None = None
) -> Stream[Side[Vector]]:
    """Embed the picture of each post, say what its patches show, and fingerprint it."""
    describer = watched(Describer(model), deaths)

    def embed(batch: list[Arrival]) -> list[Side[Vector]]:
        sides = answers(describer, _ids(batch), _pictures(batch))
        return [_of_picture(side, it) for side, it in zip(sides, batch, strict=True)]

    return map_batch("infer", posts, embed)


@operator
def read_pictures(
    step_id: str, posts: Stream[Arrival], model: Model[Pixels, Reading], deaths: Deaths | None = None
) -> Stream[Side[Reading]]:
    """Read the text in the picture of each post, and keep the caption that stands beside it."""
    looking = watched(model, deaths)

    def read(batch: list[Arrival]) -> list[Side[Reading]]:
        return answers(looking, _ids(batch), _pictures(batch), [it.post.description for it in batch])

    return map_batch("infer", posts, read)


@operator
def embed_texts(
    step_id: str, read: Stream[Side[Reading]], model: Model[str, Vector], deaths: Deaths | None = None
) -> Stream[Side[Vector]]:
    """Embed caption and text together; a post with neither has no embedding, which is no failure."""
    looking = watched(model, deaths)

    def embed(batch: list[Side[Reading]]) -> list[Side[Vector]]:
        return answers(looking, _of(batch), [_caption_and_text(it) for it in batch])

    return map_batch("infer", read, embed)


def answers(
    model: Model[Given, Made],
    of: Sequence[Coming],
    subjects: Sequence[Given | Failed | None],
    captions: Iterable[str] = _NO_CAPTIONS,
) -> list[Side[Made]]:
    """One side for each of `subjects`, of the post of the same place in `of`.

    The model sees only what there is to look at: a failure is passed on, and None stays None. Sides keep `captions`.
    """
    given: list[Given] = [it for it in subjects if it is not None and not isinstance(it, Failed)]
    start = perf_counter()
    with step(model.stage, len(given), map(itemgetter(2), of)):
        made = model(given) if given else []
    seconds = (perf_counter() - start) / max(1, len(given))
    failures = sum(isinstance(answer, Failed) for answer in made)
    if failures:
        STEP_ERRORS.labels(model.stage).inc(failures)
    results, name = iter(made), model.recorded_name
    return [
        Side(global_id, model.stage, it, 0.0, name, caption=caption, ticket=ticket, trace=trace)
        if it is None or isinstance(it, Failed)
        else Side(global_id, model.stage, next(results), seconds, name, caption=caption, ticket=ticket, trace=trace)
        # Captions may have no end.
        for (global_id, ticket, trace), it, caption in zip(of, subjects, captions, strict=False)
    ]


def _ids(batch: Sequence[Arrival]) -> list[Coming]:
    return [(it.post.global_id, it.ticket, it.post.trace) for it in batch]


def _of(batch: Sequence[Side[Any]]) -> list[Coming]:
    return [(it.global_id, it.ticket, it.trace) for it in batch]


def _pictures(batch: Sequence[Arrival]) -> list[Pixels | Failed | None]:
    return [it.picture for it in batch]


def _text_as_read(side: Side[Reading]) -> str | Failed | None:
    value = side.value
    return value.as_read if isinstance(value, Reading) else value


def _caption_and_text(side: Side[Reading]) -> str | Failed | None:
    text = _text_as_read(side)
    parts = [side.caption, text if isinstance(text, str) else ""]
    joined = "\n".join(part for part in parts if part.strip())
    if not joined and isinstance(text, Failed):
        return text
    return joined or None


def _of_picture(side: Side[Features], it: Arrival) -> Side[Vector]:
    """The embedding, and beside it what the clusterer looks at."""
    seen, found = it.picture, side.value
    if not isinstance(seen, np.ndarray) or not isinstance(found, Features):
        return cast("Side[Vector]", side)
    return Side(
        side.global_id,
        side.stage,
        found.embedding,
        side.seconds,
        side.model,
        fingerprint(seen) if min(seen.shape[:2]) >= _SMALLEST else None,
        ticket=side.ticket,
        trace=side.trace,
        patches=found.patches,
        author=it.post.account,
        post_id=it.post.whole_id,
        changed=it.post.changed,
        edited=it.post.edited,
    )
