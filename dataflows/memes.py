"""Posts in, joined analytics out.

::

    posts ─┬─ embed ─ cluster ─┬─ clusters (births, merges, splits ─ store, topic, and write: which rows are where now)
           │                   └──────────┐
           └─ read ─┬─ entities           │
                    ├─ sentiment          ├─ join ─ write (records ─ sinks)
                    └─ text_embedding ────┘
    posts ─ cluster, write, dead_letters, forget (deletes, and accounts that hide their posts)
    posts ─ write (thumbnails)
    control ─ replayed (requests of the commands ─ write, clusters; dead letters once more ─ posts)
    failures ─ dead_letters; where they are asked for, all streams ─ taps

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
from operators.join import join
from operators.outputs import write_cluster_events, write_dead_letters, write_records
from operators.posts_input import fetching, posts_in
from operators.replayed import replayed
from operators.taps import write_taps
from operators.watching import forget_cached, watching

_FIRST: Final = FirstNumbers()


def memes(
    settings: Settings, models: Models, make_clusterer: Callable[[], Clusterer], first: FirstNumbers = _FIRST
) -> Dataflow:
    """Build the flow, from the source of the settings to their sinks; no number that `first` has is given again."""
    flow = Dataflow("memes")
    told = watching(settings, settings, models)
    fetched = fetching(settings, told, settings.wanted_thumbnails())
    read_in = posts_in("posts", flow, settings, fetched, asked_to_forget(settings))
    requests = control_in("control", flow, settings, read_in.parts)
    posts = replayed("replayed", read_in.oks, read_in.errs, read_in.removals, requests, fetched)

    forget_cached("forget", posts.removals, settings, told)

    embedding = embed_images("embed", posts.oks, models.image, told)
    clustered = cluster(
        "cluster", embedding, posts.removals, settings, make_clusterer, models.image_dimension, first.above
    )

    read = read_images("read", posts.oks, models.ocr, told)
    entities = infer_texts("entities", read, models.entities, told)
    sentiment = infer_texts("sentiment", read, models.sentiment, told)
    text_embedding = embed_texts("text_embedding", read, models.text, told)

    sides: dict[str, Stream[StageResult[Any]]] = {
        "embedding": embedding,
        "cluster": clustered.sides,
        "text": read,
        "entities": entities,
        "sentiment": sentiment,
        "text_embedding": text_embedding,
    }
    assert tuple(sides) == stage_names(), "each stage of the table has its step here"
    records = join("join", posts.oks, settings, first.revision_of, **sides)

    failed = write_records(
        "write", records, settings, models.dimensions, posts.removals, requests, clustered.events, posts.oks
    )
    write_cluster_events("clusters", clustered.events, settings, requests)
    write_dead_letters("dead_letters", settings, posts.removals, posts.errs, failed)
    if settings.taps:
        write_taps("taps", posts.oks, settings, **sides)
    return flow


def flow() -> Dataflow:
    """Build what `python -m bytewax.run dataflows.memes` runs."""
    return started(memes)
