"""Analyse posts with images, and write one joined record per post.

::

    posts ─┬─ embed ─ cluster ─┬─ clusters (births, merges, splits ─ store, topic, and write: current ids of rows)
           │                   └──────────┐
           └─ read ─┬─ entities           │
                    ├─ sentiment          ├─ join ─ write (records ─ sinks)
                    └─ text_embedding ────┘
    posts ─ cluster, write, dead_letters, forget (deletes, and accounts that hide their posts)
    posts ─ write (thumbnails)
    control ─ replayed (requests of commands ─ write, clusters; replayed dead letters ─ posts)
    failures ─ dead_letters; if enabled, all streams ─ taps

Run it with `python -m bytewax.run dataflows.memes` and `MEMEWAX_*` settings, or with `memewax run`.
"""

from collections.abc import Callable
from typing import Any, Final

from bytewax.dataflow import Dataflow, Stream

from core.records import StageResult
from dataflows.all_settings import Settings
from dataflows.starting import started
from models.clusterer import Clusterer
from models.loading import Models
from models.stages import stage_names
from operators.clustering import cluster
from operators.control_input import asked_to_forget, control_in
from operators.first_ids import FirstNumbers
from operators.infer import embed_images, embed_texts, infer_texts, read_images
from operators.item_memory import forget_cached, open_item_memory
from operators.join import join
from operators.outputs import write_cluster_events, write_dead_letters, write_records
from operators.posts_input import fetching, posts_in
from operators.replayed import replayed
from operators.taps import write_taps

_FIRST: Final = FirstNumbers()


def memes(
    settings: Settings, models: Models, make_clusterer: Callable[[], Clusterer], first: FirstNumbers = _FIRST
) -> Dataflow:
    """Build the flow, from the source to the sinks of the settings; cluster ids and revisions go on after `first`."""
    flow = Dataflow("memes")
    memory = open_item_memory(settings, settings, models)
    fetcher = fetching(settings, memory, settings.wanted_thumbnails())
    read_in = posts_in("posts", flow, settings, fetcher, asked_to_forget(settings))
    requests = control_in("control", flow, settings, read_in.parts)
    posts = replayed("replayed", read_in.oks, read_in.errs, read_in.removals, requests, fetcher)

    forget_cached("forget", posts.removals, settings, memory)

    embedding = embed_images("embed", posts.oks, models.image, memory)
    clustered = cluster(
        "cluster", embedding, posts.removals, settings, make_clusterer, models.image_dimension, first.above
    )

    read = read_images("read", posts.oks, models.ocr, memory)
    entities = infer_texts("entities", read, models.entities, memory)
    sentiment = infer_texts("sentiment", read, models.sentiment, memory)
    text_embedding = embed_texts("text_embedding", read, models.text, memory)

    results: dict[str, Stream[StageResult[Any]]] = {
        "embedding": embedding,
        "cluster": clustered.results,
        "text": read,
        "entities": entities,
        "sentiment": sentiment,
        "text_embedding": text_embedding,
    }
    assert tuple(results) == stage_names(), "every stage of the table needs a step here"
    records = join("join", posts.oks, settings, first.revision_of, **results)

    failed = write_records(
        "write", records, settings, models.dimensions, posts.removals, requests, clustered.events, posts.oks
    )
    write_cluster_events("clusters", clustered.events, settings, requests)
    write_dead_letters("dead_letters", settings, posts.removals, posts.errs, failed)
    if settings.taps:
        write_taps("taps", posts.oks, settings, **results)
    return flow


def flow() -> Dataflow:
    """Build the flow that `python -m bytewax.run dataflows.memes` runs."""
    return started(memes)
