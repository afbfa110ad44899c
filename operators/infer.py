"""Models as steps: every item gets an answer, and a failure is one.

A step answers all that it was given before it returns. So nothing is between the source and the join when a snapshot is
taken, and a busy flow fills its batches while an idle one does not wait. Each step may be told of what processes ended
at, and of what was found out before (`Watching`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import repeat
from operator import itemgetter
from time import perf_counter
from typing import Any, Final, TypeVar, cast

from bytewax.dataflow import Stream, operator

from connectors.caching.cached_results import Asked, CachedResults
from core.records import Arrival, CachedResult, Failure, Features, Pixels, Reading, StageResult, Vector
from core.telemetry import STEP_ERRORS, step
from models.base import Describer, ImageEmbedder, Model
from operators.steps import map_batch
from operators.watched import watched
from operators.watching import NOTHING, Watching

_NO_CAPTIONS: Final = repeat("")
Coming = tuple[str, int, str]
"""A post's `global_id`, the ticket of one of its arrivals, and the context of its trace."""
Named = tuple[bytes, tuple[bytes, ...]]
"""What an image or text is known as, and what its result is forgotten by."""
Given = TypeVar("Given")
Made = TypeVar("Made")


@operator
def infer_texts(
    step_id: str, read: Stream[StageResult[Reading]], model: Model[str, Any], told: Watching = NOTHING
) -> Stream[StageResult[Any]]:
    """Show `model` the text of each image as it was read."""
    looking = watched(model, told.deaths)

    def infer(batch: list[StageResult[Reading]]) -> list[StageResult[Any]]:
        texts = [_text_as_read(it) for it in batch]
        return answers(looking, _of(batch), texts, cached=told.cached, named=_named_texts(batch, texts))

    return map_batch("infer", read, infer)


@operator
def embed_images(
    step_id: str, posts: Stream[Arrival], model: ImageEmbedder, told: Watching = NOTHING
) -> Stream[StageResult[Vector]]:
    """Embed the image of each post, say what its patches show, and fingerprint it."""
    describer = watched(Describer(model), told.deaths)

    def embed(batch: list[Arrival]) -> list[StageResult[Vector]]:
        sides = answers(
            describer,
            _ids(batch),
            _images(batch, describer.stage),
            cached=told.cached,
            named=_named_images(batch, told.cached),
        )
        return [_of_image(side, it) for side, it in zip(sides, batch, strict=True)]

    return map_batch("infer", posts, embed)


@operator
def read_images(
    step_id: str, posts: Stream[Arrival], model: Model[Pixels, Reading], told: Watching = NOTHING
) -> Stream[StageResult[Reading]]:
    """Read the text in the image of each post, and keep the caption that stands beside it."""
    looking = watched(model, told.deaths)

    def read(batch: list[Arrival]) -> list[StageResult[Reading]]:
        named = _named_images(batch, told.cached)
        captions = [it.post.description for it in batch]
        images = _images(batch, looking.stage)
        sides = answers(looking, _ids(batch), images, captions, cached=told.cached, named=named)
        return [replace(side, names=names) for side, (_, names) in zip(sides, named, strict=True)] if named else sides

    return map_batch("infer", posts, read)


@operator
def embed_texts(
    step_id: str, read: Stream[StageResult[Reading]], model: Model[str, Vector], told: Watching = NOTHING
) -> Stream[StageResult[Vector]]:
    """Embed caption and text together; a post with neither has no embedding, which is no failure."""
    looking = watched(model, told.deaths)

    def embed(batch: list[StageResult[Reading]]) -> list[StageResult[Vector]]:
        texts = [_caption_and_text(it) for it in batch]
        return answers(looking, _of(batch), texts, cached=told.cached, named=_named_texts(batch, texts))

    return map_batch("infer", read, embed)


def answers(
    model: Model[Given, Made],
    of: Sequence[Coming],
    subjects: Sequence[Given | CachedResult | Failure | None],
    captions: Iterable[str] = _NO_CAPTIONS,
    cached: CachedResults | None = None,
    named: Sequence[Named] = (),
) -> list[StageResult[Made]]:
    """One side for each of `subjects`, of the post of the same place in `of`.

    The model sees only what there is to look at: a failure is passed on, and None stays None. Sides keep `captions`.

    Args:
        model: Of the stage.
        of: The posts.
        subjects: What it is to look at, or what is known of it already.
        captions: Of the posts.
        cached: What was found out before; what is computed now is kept there.
        named: Of each subject what it is known as; needed with `cached`.
    """
    places = [place for place, it in enumerate(subjects) if not isinstance(it, CachedResult | Failure | None)]
    given = [cast("Given", subjects[place]) for place in places]
    start = perf_counter()
    with step(model.stage, len(given), map(itemgetter(2), of)):
        if cached is None or not given:
            made: Sequence[Made | CachedResult | Failure] = model(given) if given else []
        else:
            asked = [Asked(named[place][0], subjects[place], named[place][1]) for place in places]
            made = cached.answers(model.stage, model.recorded_name, asked, model)
    seconds = (perf_counter() - start) / max(1, len(given))
    failures = sum(isinstance(answer, Failure) for answer in made)
    if failures:
        STEP_ERRORS.labels(model.stage).inc(failures)
    results, recorded = iter(made), model.recorded_name
    sides = []
    # Captions may have no end.
    for (global_id, ticket, trace), subject, caption in zip(of, subjects, captions, strict=False):
        is_asked = not isinstance(subject, CachedResult | Failure | None)
        value = next(results) if is_asked else subject
        if isinstance(value, CachedResult):
            took = 0.0 if value.kind else seconds
            name, kind, answer = value.model or recorded, value.kind, value.value
        else:
            took, name, kind, answer = seconds if is_asked else 0.0, recorded, "", value
        sides.append(
            StageResult(
                global_id, model.stage, answer, took, name, caption=caption, ticket=ticket, trace=trace, cached=kind
            )
        )
    return sides


def _ids(batch: Sequence[Arrival]) -> list[Coming]:
    return [(it.post.global_id, it.ticket, it.post.trace) for it in batch]


def _of(batch: Sequence[StageResult[Any]]) -> list[Coming]:
    return [(it.global_id, it.ticket, it.trace) for it in batch]


def _images(batch: Sequence[Arrival], stage: str) -> list[Pixels | CachedResult | Failure | None]:
    return [it.cached.get(stage) or it.image for it in batch]


def _named_images(batch: Sequence[Arrival], cached: CachedResults | None) -> list[Named]:
    if cached is None:
        return []
    return [(it.post.picture_sha256.encode(), cached.names_of(it.post)) for it in batch]


def _named_texts(batch: Sequence[StageResult[Reading]], texts: Sequence[str | Failure | None]) -> list[Named]:
    return [
        (text.encode(errors="surrogatepass") if isinstance(text, str) else b"", it.names)
        for it, text in zip(batch, texts, strict=True)
    ]


def _text_as_read(side: StageResult[Reading]) -> str | Failure | None:
    value = side.value
    return value.as_read if isinstance(value, Reading) else value


def _caption_and_text(side: StageResult[Reading]) -> str | Failure | None:
    text = _text_as_read(side)
    parts = [side.caption, text if isinstance(text, str) else ""]
    joined = "\n".join(part for part in parts if part.strip())
    if not joined and isinstance(text, Failure):
        return text
    return joined or None


def _of_image(side: StageResult[Features], it: Arrival) -> StageResult[Vector]:
    """The embedding, and beside it what the clusterer looks at."""
    found = side.value
    if not isinstance(found, Features):
        return cast("StageResult[Vector]", side)
    return StageResult(
        side.global_id,
        side.stage,
        found.embedding,
        side.seconds,
        side.model,
        found.fingerprint,
        ticket=side.ticket,
        trace=side.trace,
        patches=found.patches,
        author=it.post.account,
        url=it.post.url,
        post_id=it.post.whole_id,
        changed=it.post.changed,
        edited=it.post.edited,
        cached=side.cached,
    )
