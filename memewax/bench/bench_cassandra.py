"""`memewax bench cassandra`: write throughput into a keyspace, and latency and recall of vector search in it."""

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import orjson
import typer

from core.errors import SettingsError, WorldError
from core.extras import needs_extra
from core.telemetry import configure_logging

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connectors.cassandra.cassandra_store import CassandraStore
    from core.columns import Table

_BATCH: Final = 2000
_POSTS_A_CLUSTER: Final = 30
_K: Final = 10
_QUERIES: Final = 200


class IndexedWhen(StrEnum):
    """When the SAI indexes over vectors are created: before the posts are written, after, or never."""

    FIRST = "first"
    LAST = "last"
    NEVER = "never"


@needs_extra("bench", "memewax bench cassandra")
def cassandra(
    at: Annotated[
        str, typer.Argument(help="cassandra://HOST:PORT/KEYSPACE: a new keyspace, which you drop afterwards.")
    ],
    posts: Annotated[int, typer.Option("--posts", "-n", min=1000, help="Number of posts to write.")] = 40_000,
    index: Annotated[
        IndexedWhen, typer.Option(help="When to create the vector indexes: before writing, after it, or never.")
    ] = IndexedWhen.FIRST,
    most_seconds: Annotated[
        float, typer.Option("--seconds", min=1, help="Maximum time to write; the posts written by then are searched.")
    ] = 600.0,
) -> None:
    """Write posts as eight workers do, then search for the nearest neighbours of some of them."""
    from connectors.cassandra.cassandra_place import CassandraPlace  # imported late, because they load the store
    from connectors.cassandra.cassandra_store import CassandraStore
    from connectors.cassandra.lookups import PARTS, part_of
    from connectors.sinks.cluster_events import CLUSTERS
    from connectors.sinks.record_table import POSTS, posts_table
    from dataflows.all_settings import load_settings
    from memewax.bench.grown_store import DIMENSION, made_rows
    from memewax.bench.machine import machine
    from memewax.bench.page_store import SyntheticPosts

    configure_logging("error")
    basis = np.array([row["text_embedding"] for row in made_rows(64)], np.float32)
    random = np.random.default_rng(5)

    def mixed(texts: list[str]) -> list[Any]:
        return list(np.einsum("cb,bd->cd", random.dirichlet(np.ones(len(basis)) / 8, len(texts)), basis))

    synthetic = SyntheticPosts.of(max(2, posts // _POSTS_A_CLUSTER), [], mixed, "made-up")
    table = posts_table(DIMENSION, DIMENSION)
    vectors = np.empty((posts, DIMENSION), np.float32)
    with tempfile.TemporaryDirectory(prefix="memewax-cassandra-") as name, ThreadPoolExecutor(PARTS) as pool:
        store = CassandraStore(CassandraPlace.of(at), load_settings(), Path(name))
        if store.session.is_there:
            raise SettingsError(f"{at} already exists: name a new keyspace")
        store.create([table, CLUSTERS], has_vector_indexes=index == IndexedWhen.FIRST)
        writers = [store.open_for_writing(table, None, part, 30.0) for part in range(PARTS)]
        seconds, written = 0.0, 0
        while written < posts and seconds < most_seconds:
            rows = synthetic.rows(written, min(_BATCH, posts - written), thumbnails=0)
            start, written = written, written + len(rows)
            vectors[start : start + len(rows)] = [row["embeddings"] for row in rows]
            by_part = [[row for row in rows if part_of(row["global_id"]) == part] for part in range(PARTS)]
            begun = time.perf_counter()
            list(pool.map(lambda writer, part: writer.upsert(part), writers, by_part))
            seconds += time.perf_counter() - begun
        report: dict[str, Any] = {
            **machine(),
            "posts": written,
            "dimension": DIMENSION,
            "vector_indexes": index,
            "posts_per_second": round(written / seconds, 1),
        }
        if index == IndexedWhen.LAST:
            report["index_seconds"] = _indexed(store, [table, CLUSTERS], vectors[0])
        begun = time.perf_counter()
        reader = store.table(POSTS)
        report |= {"counted": reader.count(), "count_seconds": round(time.perf_counter() - begun, 1)}
        if index != IndexedWhen.NEVER:
            report |= _nearest(reader, vectors[:written])
        store.close()
    sys.stdout.write(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode() + "\n")


def _indexed(store: "CassandraStore", tables: "Sequence[Table]", vector: Any) -> float:
    """Create the indexes, wait until they answer, and return the seconds that took."""
    begun = time.perf_counter()
    store.create(tables, has_vector_indexes=True)
    while True:
        try:
            for column in ("embeddings", "text_embedding"):
                store.table("posts").nearest(column, vector, 1, [])
        except WorldError:  # the indexes are still being built
            time.sleep(1)
        else:
            return round(time.perf_counter() - begun, 1)


def _nearest(reader: Any, vectors: Any) -> dict[str, float]:
    """Return recall@10 against exact search, and the median latency in milliseconds."""
    random = np.random.default_rng(17)
    recalls, latencies = [], []
    for number in random.choice(len(vectors), _QUERIES, replace=False):
        vector = vectors[number]
        begun = time.perf_counter()
        ids = [it["global_id"] for it in reader.nearest("embeddings", vector, _K, [])]
        latencies.append(1000 * (time.perf_counter() - begun))
        cosines = vectors @ vector
        least = np.partition(cosines, -_K)[-_K]
        found = cosines[[int(it.partition("-")[0]) for it in ids]]
        recalls.append(float(np.mean(found >= least - 1e-6)))
    return {"recall_at_10": round(float(np.mean(recalls)), 3), "nearest_p50_ms": round(median(latencies), 1)}
