"""Posts in, joined analytics out.

::

                                        ┌─ births, merges ─ store, topic
    posts ─ fetched ahead ─┬─ embed ─ cluster ────────────┐
                           └─ read ─┬─ entities           │
                                    ├─ sentiment          ├─ join ─ records ─ sinks
                                    └─ text embedding ────┘
    every step: results on, failures ─ dead letters; and where they are asked for, taps

Run it with `python -m bytewax.run dataflows.memes` and `MEMEWAX_*` settings, or with `memewax run`.
"""

from collections.abc import Callable

from bytewax import operators as op
from bytewax.dataflow import Dataflow

from core.records import SIDES
from dataflows.all_settings import Settings
from dataflows.starting import started
from models.clusterer import Clusterer
from models.loading import Models
from operators.infer import embed_pictures, embed_texts, embeddings_of, find_entities, read_pictures, score_sentiment
from operators.join import join
from operators.outputs import write_cluster_events, write_dead_letters, write_records
from operators.posts_input import posts_in
from operators.sharded_clustering import cluster_by
from operators.taps import Inner, write_taps


def memes(settings: Settings, models: Models, make_clusterer: Callable[[], Clusterer]) -> Dataflow:
    """The flow, from the source of the settings to their sinks."""
    flow = Dataflow("memes")
    posts = posts_in("posts", flow, settings)

    embedded = embed_pictures("embed", posts.oks, models.image)
    embeddings = embeddings_of("embeddings", embedded)
    clustered = cluster_by("cluster", embedded, settings, make_clusterer, models.image_dimension)

    read = read_pictures("read", posts.oks, models.ocr)
    entities = find_entities("entities", read, models.entities)
    sentiment = score_sentiment("sentiment", read, models.sentiment)
    texts = embed_texts("embed_text", read, models.text)

    records = join(
        "join",
        posts.oks,
        [embeddings, clustered.sides, entities, sentiment, texts],
        read,
        expected=SIDES,
        deadline=settings.join_deadline_seconds,
        late=settings.join_late_seconds,
    )

    inner = Inner(posts.oks, embeddings, clustered.sides, read, entities, sentiment)
    write_taps("taps", inner, settings)

    failed = write_records("write", records, settings, (models.image_dimension, models.text_dimension))
    write_cluster_events("clusters", clustered.events, settings)
    write_dead_letters("dead_letters", op.merge("letters", posts.errs, failed), settings)
    return flow


def flow() -> Dataflow:
    """What `python -m bytewax.run dataflows.memes` runs."""
    return started(memes)
