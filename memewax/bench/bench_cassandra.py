"""`memewax bench cassandra`: posts a second into a keyspace, and how well and quickly the nearest are found in it."""

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
_ASKED: Final = 200


class IndexedWhen(StrEnum):
    """When vectors get their indexes."""

    FIRST = "first"
    LAST = "last"
    NEVER = "never"


@needs_extra("bench", "memewax bench cassandra")
def cassandra(
    at: Annotated[str, typer.Argument(help="cassandra://HOST:PORT/KEYSPACE: made, and to be dropped by you.")],
    posts: Annotated[int, typer.Option("--posts", "-n", min=1000, help="Posts that are written.")] = 40_000,
    index: Annotated[IndexedWhen, typer.Option(help="When vectors get their indexes.")] = IndexedWhen.FIRST,
    most_seconds: Annotated[
        float, typer.Option("--seconds", min=1, help="Of writing: what was written by then is asked.")
    ] = 600.0,
) -> None:
    """Write posts as eight workers do, and ask for the nearest of some of them."""
    from connectors.cassandra.cassandra_place import CassandraPlace  # late, since they bring the store
    from connectors.cassandra.cassandra_store import CassandraStore
    from connectors.cassandra.lookups import PARTS, part_of
    from connectors.sinks.cluster_events import CLUSTERS
    from connectors.sinks.record_table import POSTS, posts_table
    from dataflows.all_settings import load_settings
    from memewax.bench.grown_store import DIMENSION, made_rows
    from memewax.bench.machine import machine
    from memewax.bench.page_store import LikePosts

    configure_logging("error")
    basis = np.array([row["text_embedding"] for row in made_rows(64)], np.float32)
    random = np.random.default_rng(5)

    def mixed(texts: list[str]) -> list[Any]:
        return list(np.einsum("cb,bd->cd", random.dirichlet(np.ones(len(basis)) / 8, len(texts)), basis))

    like = LikePosts.of(max(2, posts // _POSTS_A_CLUSTER), [], mixed, "made-up")
    table = posts_table(DIMENSION, DIMENSION)
    vectors = np.empty((posts, DIMENSION), np.float32)
    with tempfile.TemporaryDirectory(prefix="memewax-cassandra-") as name, ThreadPoolExecutor(PARTS) as pool:
        store = CassandraStore(CassandraPlace.of(at), load_settings(), Path(name))
        if store.session.is_there:
            raise SettingsError(f"{at} is there already: name a keyspace that is not")
        store.create([table, CLUSTERS], has_vector_indexes=index == IndexedWhen.FIRST)
        writers = [store.written(table, None, part, 30.0) for part in range(PARTS)]
        seconds, written = 0.0, 0
        while written < posts and seconds < most_seconds:
            rows = like.rows(written, min(_BATCH, posts - written), thumbnails=0)
            start, written = written, written + len(rows)
            vectors[start : start + len(rows)] = [row["embeddings"] for row in rows]
            dealt = [[row for row in rows if part_of(row["global_id"]) == part] for part in range(PARTS)]
            begun = time.perf_counter()
            list(pool.map(lambda writer, own: writer.upsert(own), writers, dealt))
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
    """Make the indexes, and wait until they answer; gives seconds."""
    begun = time.perf_counter()
    store.create(tables, has_vector_indexes=True)
    while True:
        try:
            for column in ("embeddings", "text_embedding"):
                store.table("posts").nearest(column, vector, 1, [])
        except WorldError:  # they are still being built
            time.sleep(1)
        else:
            return round(time.perf_counter() - begun, 1)


def _nearest(reader: Any, vectors: Any) -> dict[str, float]:
    """Share of the ten nearest that are found, and milliseconds in the median."""
    random = np.random.default_rng(17)
    found, taken = [], []
    for number in random.choice(len(vectors), _ASKED, replace=False):
        vector = vectors[number]
        begun = time.perf_counter()
        ids = [it["global_id"] for it in reader.nearest("embeddings", vector, _K, [])]
        taken.append(1000 * (time.perf_counter() - begun))
        cosines = vectors @ vector
        least = np.partition(cosines, -_K)[-_K]
        got = cosines[[int(it.partition("-")[0]) for it in ids]]
        found.append(float(np.mean(got >= least - 1e-6)))
    return {"recall_at_10": round(float(np.mean(found)), 3), "nearest_p50_ms": round(median(taken), 1)}
