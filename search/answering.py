"""Answering of queries: embed, search, answer. Every query gets an answer; a failure is an answer too."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final, TypeVar

import numpy as np

from connectors.fetching.decode import decode
from core.errors import BadRecordError, WeightsError
from core.records import Failure, Pixels, Vector
from core.telemetry import STEP_ERRORS, log, step
from models.base import Embedder
from models.loading import load_image, load_text
from models.runtime import Runtime
from search.answer import Answer
from search.corpus import Corpus, Hit
from search.open_corpora import OpenCorpora
from search.query import By, Query
from search.search_settings import EmbedderSettings

EMBED: Final = "embed"
SEARCH: Final = "search"

Subject = TypeVar("Subject")


@dataclass(frozen=True, slots=True)
class Embedders:
    """The models that embed queries; a `Failure` in place of a model says why it is missing."""

    text: Embedder[str] | Failure
    image: Embedder[Pixels] | Failure
    decode: Callable[[bytes], Pixels]
    """Decodes the bytes of an image."""

    @property
    def names(self) -> dict[str, str]:
        """Return the name of each loaded model, by kind of query: `text`, `image`."""
        both = {"text": self.text, "image": self.image}
        return {kind: model.name for kind, model in both.items() if not isinstance(model, Failure)}


@dataclass(frozen=True, slots=True)
class EmbeddedQuery:
    """A query with its vector."""

    query: Query
    vector: Vector | Failure
    model: str
    """Model that made the vector; empty if the query brought it."""
    seconds: float
    """Time that embedding its batch took."""


def load_embedders(settings: EmbedderSettings, *, images: bool, texts: bool = True) -> Embedders:
    """Load the models that the settings name.

    If the weights of a model are missing, that is logged and becomes the answer to its queries.

    Args:
        settings: Settings of the models.
        images: Whether to load the image model.
        texts: Whether to load the text model.
    """
    runtime = Runtime.of(settings)

    def loaded(load: Callable[[EmbedderSettings, Runtime], Embedder[Subject]]) -> Embedder[Subject] | Failure:
        try:
            return load(settings, runtime)
        except WeightsError as error:
            log.error("model cannot be loaded: its queries will be answered with this error", error=str(error))
            return Failure.of(EMBED, error)

    unwanted = Failure(EMBED, "NotLoaded", "queries by image are switched off: set MEMEWAX_ANSWER_IMAGES to true")
    no_text = Failure(EMBED, "NotLoaded", "no text model was loaded")
    return Embedders(
        loaded(load_text) if texts else no_text,
        loaded(load_image) if images else unwanted,
        lambda data: decode(data, max_pixels=settings.fetch_max_pixels, max_side=settings.fetch_max_side),
    )


def embed(queries: Sequence[Query], models: Embedders) -> list[EmbeddedQuery]:
    """Embed queries, in order; all texts are one batch, and all images another."""
    start = perf_counter()
    with step(EMBED, len(queries), queries):
        texts = iter(_infer(models.text, [it.subject for it in queries if isinstance(it.subject, str)]))
        decoded = [_decoded(it.subject, models) for it in queries if isinstance(it.subject, bytes)]
        images = iter(_infer_those(models.image, decoded))
    seconds = perf_counter() - start
    embedded = []
    for query in queries:
        if isinstance(query.subject, str):
            embedded.append(EmbeddedQuery(query, next(texts), _name(models.text), seconds))
        elif isinstance(query.subject, bytes):
            embedded.append(EmbeddedQuery(query, next(images), _name(models.image), seconds))
        else:
            embedded.append(EmbeddedQuery(query, query.subject, "", 0.0))
    return embedded


def search(embedded: Sequence[EmbeddedQuery], corpora: OpenCorpora) -> list[Answer]:
    """Search for embedded queries and return their answers in order; queries of one corpus are one batch."""
    answers: dict[int, Answer] = {}
    groups: defaultdict[tuple[str, By], list[int]] = defaultdict(list)
    for place, it in enumerate(embedded):
        if isinstance(it.vector, Failure):
            answers[place] = _failed(it, it.vector)
        else:
            groups[it.query.corpus, it.query.by].append(place)
    with step(SEARCH, len(embedded), embedded):
        for (name, by), places in groups.items():
            group = [embedded[place] for place in places]
            answers.update(zip(places, _search_one(group, name, by, corpora), strict=True))
    failures = sum(answer.error is not None for answer in answers.values())
    if failures:
        STEP_ERRORS.labels(SEARCH).inc(failures)
    return [answers[place] for place in range(len(embedded))]


def _infer(model: Embedder[Subject] | Failure, subjects: list[Subject]) -> list[Vector | Failure]:
    return [model] * len(subjects) if isinstance(model, Failure) else model(subjects)


def _infer_those(model: Embedder[Subject] | Failure, subjects: list[Subject | Failure]) -> list[Vector | Failure]:
    good = iter(_infer(model, [it for it in subjects if not isinstance(it, Failure)]))
    return [it if isinstance(it, Failure) else next(good) for it in subjects]


def _decoded(data: bytes, models: Embedders) -> Pixels | Failure:
    try:
        return models.decode(data)
    except Exception as error:  # Pillow raises many kinds
        return Failure.of(EMBED, error)


def _name(model: Embedder[Subject] | Failure) -> str:
    return "" if isinstance(model, Failure) else model.name


def _failed(it: EmbeddedQuery, failure: Failure) -> Answer:
    query = it.query
    return Answer(
        query.id,
        query.text,
        query.corpus,
        query.k,
        it.model,
        error=failure,
        timing={EMBED: it.seconds},
        trace=query.trace,
    )


def _search_one(group: list[EmbeddedQuery], name: str, by: By, corpora: OpenCorpora) -> list[Answer]:
    start = perf_counter()
    try:
        corpus = corpora.get(name, by)
    except Exception as error:
        return [_failed(it, Failure.of(SEARCH, error)) for it in group]
    mismatches = [_mismatch(it, corpus) for it in group]
    fit = [it for it, mismatch in zip(group, mismatches, strict=True) if mismatch is None]
    found = iter(_hits(fit, corpus))
    seconds = perf_counter() - start
    answers = []
    for it, mismatch in zip(group, mismatches, strict=True):
        hits = mismatch or next(found)
        if isinstance(hits, Failure):
            answers.append(_failed(it, hits))
            continue
        query, timing = it.query, {EMBED: it.seconds, SEARCH: seconds}
        answers.append(
            Answer(
                query.id,
                query.text,
                corpus.name,
                query.k,
                it.model,
                tuple(hits[: query.k]),
                timing=timing,
                trace=query.trace,
            )
        )
    return answers


def _mismatch(it: EmbeddedQuery, corpus: Corpus) -> Failure | None:
    if isinstance(it.vector, Failure):
        return None
    reason = corpus.mismatch(it.model, it.vector)
    return Failure(SEARCH, BadRecordError.__name__, reason) if reason else None


def _hits(group: list[EmbeddedQuery], corpus: Corpus) -> list[list[Hit] | Failure]:
    if not group:
        return []
    try:
        vectors = np.stack([it.vector for it in group if not isinstance(it.vector, Failure)])
        most = max(it.query.k for it in group)
        return list(corpus.search(vectors, most, [it.query.filter for it in group]))
    except Exception as error:
        if len(group) == 1:
            return [Failure.of(SEARCH, error)]
        # one query is to blame: search them one by one, so that the others still get their answers
        return [hits for it in group for hits in _hits([it], corpus)]
