"""Query latency by embedding dimension: SQL in DuckDB, LanceDB's scan, and memewax. It redraws a published figure.

The figure is that of memewax's first version (2019), which searched by SQL in BigQuery.
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import lancedb
import numpy as np
import pyarrow as pa

from core.extras import needs_extra
from search.vector_index import FlatIndex, FloatMatrix, unit

DIMENSIONS: Final = (32, 64, 150, 256)
"""Numbers of principal components; the full embedding dimension is measured last."""
_K: Final = 10
_FIRST_VERSION: Final = ((150, 4_200.0), (768, 48_900.0))
"""Dimension and milliseconds per query of SQL in BigQuery over 30,445 tweets, as its authors measured them in 2019."""

_FIRST_LABEL: Final = "first version, 2019: SQL in BigQuery, 30,445 rows"

StoreSearch = Callable[[FloatMatrix], object]


@dataclass(frozen=True, slots=True)
class Point:
    """Median latencies of a query at one dimension."""

    dimensions: int
    duckdb_ms: float
    lancedb_ms: float
    memewax_ms: float


def by_dimensions(vectors: FloatMatrix, asked: FloatMatrix) -> list[Point]:
    """Time exact searches for the ten nearest rows, with more and more principal components.

    Args:
        vectors: Rows to search, shape (rows, dimension).
        asked: Queries, shape (queries, dimension).
    """
    mean = vectors.mean(0)
    _, axes = np.linalg.eigh(np.cov(vectors - mean, rowvar=False))
    axes = axes[:, ::-1].astype(np.float32)
    points = []
    for size in [size for size in DIMENSIONS if size < vectors.shape[1]]:
        rows, queries = (unit((given - mean) @ axes[:, :size]) for given in (vectors, asked))
        points.append(_point(rows, queries))
    return [*points, _point(vectors, asked)]


def _point(rows: FloatMatrix, queries: FloatMatrix) -> Point:
    index = FlatIndex.of(rows)
    with tempfile.TemporaryDirectory(prefix="memewax-bench-") as folder:
        return Point(
            dimensions=rows.shape[1],
            duckdb_ms=_median_ms(_duckdb(rows), queries),
            lancedb_ms=_median_ms(_lancedb(Path(folder), rows), queries),
            memewax_ms=_median_ms(lambda query: index.search(query[None], _K), queries),
        )


def _median_ms(search: StoreSearch, queries: FloatMatrix) -> float:
    search(queries[0])  # warm-up
    latencies = []
    for query in queries:
        start = time.perf_counter()
        search(query)
        latencies.append(1000 * (time.perf_counter() - start))
    return round(median(latencies), 3)


def _table(rows: FloatMatrix) -> pa.Table:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
    return pa.table({"id": np.arange(len(rows)), "vector": vectors})


def _duckdb(rows: FloatMatrix) -> StoreSearch:
    with needs_extra("bench", "memewax bench similarity --plot"):
        import duckdb
    database = duckdb.connect()
    database.register("given", _table(rows))
    size = rows.shape[1]
    database.execute(f"CREATE TABLE rows AS SELECT id, vector::FLOAT[{size}] AS vector FROM given")  # noqa: S608
    sql = f"SELECT id FROM rows ORDER BY array_cosine_similarity(vector, ?::FLOAT[{size}]) DESC LIMIT {_K}"  # noqa: S608
    return lambda query: database.execute(sql, [query.tolist()]).fetchall()


def _lancedb(folder: Path, rows: FloatMatrix) -> StoreSearch:
    table: Any = lancedb.connect(folder).create_table("rows", _table(rows))
    return lambda query: table.search(query).distance_type("cosine").select(["id", "_distance"]).limit(_K).to_arrow()


def plot(points: list[Point], rows: int, path: Path) -> None:
    """Plot the points to an SVG or PNG with the measurements of the first version; both axes are logarithmic."""
    with needs_extra("bench", "memewax bench similarity --plot"):
        from matplotlib.figure import Figure
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    sizes = [point.dimensions for point in points]
    axes.plot(
        *zip(*_FIRST_VERSION, strict=True),
        "x--",
        color="0.5",
        label=_FIRST_LABEL,
    )
    for name, latencies, marker in (
        ("SQL in DuckDB", [point.duckdb_ms for point in points], "s-"),
        ("LanceDB, scan", [point.lancedb_ms for point in points], "^-"),
        ("memewax, exact", [point.memewax_ms for point in points], "o-"),
    ):
        axes.plot(sizes, latencies, marker, label=name)
    axes.set(xscale="log", yscale="log", xlabel="dimensions", ylabel="median latency per query (ms)")
    axes.set_title(f"Ten nearest of {rows:,} rows, one query at a time")
    ticks = [*sizes, _FIRST_VERSION[-1][0]]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)
