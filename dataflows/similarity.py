"""Answer similarity queries with the nearest posts.

::

    queries ─ read ─ embed ─┬─ nearest ─┬─ answers ─┬─ topic
                  │         └─ (tap)    │           └─ table
                  └── errors ───────────┘

Run it with `python -m bytewax.run dataflows.similarity` and `MEMEWAX_*` settings, or with `memewax serve`.
"""

from collections.abc import Mapping
from pathlib import Path

from bytewax.dataflow import Dataflow

from connectors.writer_locks import ANSWERS, lock_files
from core.endings import answers_ending
from core.status import FOLDER
from core.status_writer import FlowFacts, shown
from dataflows.all_settings import Settings
from dataflows.starting import started_with
from operators.query_steps import (
    embed_queries,
    find_nearest,
    queries_in,
    read_queries,
    tap_embeddings,
    write_answers,
)
from search.answering import Embedders, load_embedders


def similarity(settings: Settings, models: Embedders) -> Dataflow:
    """Build the flow, from the queries to the answers of the settings."""
    flow = Dataflow("similarity")
    messages = queries_in("queries", flow, settings)

    queries = read_queries("read", messages, settings)
    embedded = embed_queries("embed", queries.oks, models)
    if settings.sentence_embeddings:
        tap_embeddings("tap", embedded, settings)
    found = find_nearest("nearest", embedded, settings)

    write_answers("answers", settings, found, queries.errs)
    return flow


def flow() -> Dataflow:
    """Build the flow that `python -m bytewax.run dataflows.similarity` runs."""
    return started_with(_facts, _written, _loaded, similarity, answers_ending)


def _facts(settings: Settings) -> FlowFacts:
    sinks = [it.address for it in settings.written()]
    return FlowFacts("similarity", (settings.store / FOLDER,), shown([settings.queries]), shown(sinks))


def _written(settings: Settings) -> Mapping[Path, str]:
    return lock_files(settings.written(), ANSWERS)


def _loaded(settings: Settings) -> Embedders:
    return load_embedders(settings, images=settings.answer_images)
