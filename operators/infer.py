"""Steps that run models: every item gets a stage result, and a failure is one too.

A step processes a whole batch before it returns. So no item is between the source and the join when a snapshot is
taken, and a busy flow fills its batches while an idle one does not wait. A step may use poison marks, which name the
items at which processes died, and a cache of results (`ItemMemory`).
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
from operators.guarded_model import guarded
from operators.item_memory import NOTHING, ItemMemory
from operators.steps import map_batch

_NO_CAPTIONS: Final = repeat("")
PostRef = tuple[str, int, str]
"""A post's `global_id`, the ticket of one of its arrivals, and its trace context."""
CacheNames = tuple[bytes, tuple[bytes, ...]]
"""The cache key of an image or text, and the names by which a removal finds its result."""
In = TypeVar("In")
Out = TypeVar("Out")


@operator
def infer_texts(
    step_id: str, read: Stream[StageResult[Reading]], model: Model[str, Any], memory: ItemMemory = NOTHING
) -> Stream[StageResult[Any]]:
    """Run `model` on the recognised text of each image."""
    guarded_model = guarded(model, memory.deaths)

    def infer(batch: list[StageResult[Reading]]) -> list[StageResult[Any]]:
        texts = [_text_as_read(it) for it in batch]
        return run_model(guarded_model, _refs_of(batch), texts, cached=memory.cached, named=_named_texts(batch, texts))

    return map_batch("infer", read, infer)


@operator
def embed_images(
    step_id: str, posts: Stream[Arrival], model: ImageEmbedder, memory: ItemMemory = NOTHING
) -> Stream[StageResult[Vector]]:
    """Compute the embedding, patch features and perceptual hash of each post's image."""
    describer = guarded(Describer(model), memory.deaths)

    def embed(batch: list[Arrival]) -> list[StageResult[Vector]]:
        results = run_model(
            describer,
            _refs(batch),
            _images(batch, describer.stage),
            cached=memory.cached,
            named=_named_images(batch, memory.cached),
        )
        return [_embedding_result(result, it) for result, it in zip(results, batch, strict=True)]

    return map_batch("infer", posts, embed)


@operator
def read_images(
    step_id: str, posts: Stream[Arrival], model: Model[Pixels, Reading], memory: ItemMemory = NOTHING
) -> Stream[StageResult[Reading]]:
    """Run OCR on the image of each post; the stage result also carries the post's caption."""
    guarded_model = guarded(model, memory.deaths)

    def read(batch: list[Arrival]) -> list[StageResult[Reading]]:
        named = _named_images(batch, memory.cached)
        captions = [it.post.description for it in batch]
        images = _images(batch, guarded_model.stage)
        results = run_model(guarded_model, _refs(batch), images, captions, cached=memory.cached, named=named)
        return [replace(it, names=names) for it, (_, names) in zip(results, named, strict=True)] if named else results

    return map_batch("infer", posts, read)


@operator
def embed_texts(
    step_id: str, read: Stream[StageResult[Reading]], model: Model[str, Vector], memory: ItemMemory = NOTHING
) -> Stream[StageResult[Vector]]:
    """Embed caption and recognised text together; a post with neither has no embedding, which is not a failure."""
    guarded_model = guarded(model, memory.deaths)

    def embed(batch: list[StageResult[Reading]]) -> list[StageResult[Vector]]:
        texts = [_caption_and_text(it) for it in batch]
        return run_model(guarded_model, _refs_of(batch), texts, cached=memory.cached, named=_named_texts(batch, texts))

    return map_batch("infer", read, embed)


def run_model(
    model: Model[In, Out],
    refs: Sequence[PostRef],
    subjects: Sequence[In | CachedResult | Failure | None],
    captions: Iterable[str] = _NO_CAPTIONS,
    cached: CachedResults | None = None,
    named: Sequence[CacheNames] = (),
) -> list[StageResult[Out]]:
    """Run a model on a batch; returns one stage result per subject, in order.

    Only inputs reach the model: cached results and failures are passed on, and None stays None.

    Args:
        model: The model of the stage.
        refs: The posts.
        subjects: For each post the model's input, a cached result, a failure, or None if there is no input.
        captions: For each post its caption, which the stage result carries.
        cached: The cache, which is asked first and receives what is computed.
        named: For each subject its names in the cache; required with `cached`.
    """
    places = [place for place, it in enumerate(subjects) if not isinstance(it, CachedResult | Failure | None)]
    given = [cast("In", subjects[place]) for place in places]
    start = perf_counter()
    with step(model.stage, len(given), map(itemgetter(2), refs)):
        if cached is None or not given:
            made: Sequence[Out | CachedResult | Failure] = model(given) if given else []
        else:
            asked = [Asked(named[place][0], subjects[place], named[place][1]) for place in places]
            made = cached.answers(model.stage, model.recorded_name, asked, model)
    seconds = (perf_counter() - start) / max(1, len(given))
    failures = sum(isinstance(answer, Failure) for answer in made)
    if failures:
        STEP_ERRORS.labels(model.stage).inc(failures)
    outputs, recorded = iter(made), model.recorded_name
    results = []
    # Captions may be an infinite iterator.
    for (global_id, ticket, trace), subject, caption in zip(refs, subjects, captions, strict=False):
        is_asked = not isinstance(subject, CachedResult | Failure | None)
        value = next(outputs) if is_asked else subject
        if isinstance(value, CachedResult):
            took = 0.0 if value.kind else seconds
            name, kind, answer = value.model or recorded, value.kind, value.value
        else:
            took, name, kind, answer = seconds if is_asked else 0.0, recorded, "", value
        results.append(
            StageResult(
                global_id, model.stage, answer, took, name, caption=caption, ticket=ticket, trace=trace, cached=kind
            )
        )
    return results


def _refs(batch: Sequence[Arrival]) -> list[PostRef]:
    return [(it.post.global_id, it.ticket, it.post.trace) for it in batch]


def _refs_of(batch: Sequence[StageResult[Any]]) -> list[PostRef]:
    return [(it.global_id, it.ticket, it.trace) for it in batch]


def _images(batch: Sequence[Arrival], stage: str) -> list[Pixels | CachedResult | Failure | None]:
    return [it.cached.get(stage) or it.image for it in batch]


def _named_images(batch: Sequence[Arrival], cached: CachedResults | None) -> list[CacheNames]:
    if cached is None:
        return []
    return [(it.post.picture_sha256.encode(), cached.names_of(it.post)) for it in batch]


def _named_texts(batch: Sequence[StageResult[Reading]], texts: Sequence[str | Failure | None]) -> list[CacheNames]:
    return [
        (text.encode(errors="surrogatepass") if isinstance(text, str) else b"", it.names)
        for it, text in zip(batch, texts, strict=True)
    ]


def _text_as_read(result: StageResult[Reading]) -> str | Failure | None:
    value = result.value
    return value.as_read if isinstance(value, Reading) else value


def _caption_and_text(result: StageResult[Reading]) -> str | Failure | None:
    text = _text_as_read(result)
    parts = [result.caption, text if isinstance(text, str) else ""]
    joined = "\n".join(part for part in parts if part.strip())
    if not joined and isinstance(text, Failure):
        return text
    return joined or None


def _embedding_result(result: StageResult[Features], it: Arrival) -> StageResult[Vector]:
    """Convert the features of an image to an embedding result, with what the clusterer also needs."""
    found = result.value
    if not isinstance(found, Features):
        return cast("StageResult[Vector]", result)
    return StageResult(
        result.global_id,
        result.stage,
        found.embedding,
        result.seconds,
        result.model,
        found.fingerprint,
        ticket=result.ticket,
        trace=result.trace,
        patches=found.patches,
        author=it.post.account,
        url=it.post.url,
        post_id=it.post.whole_id,
        changed=it.post.changed,
        edited=it.post.edited,
        cached=result.cached,
    )
