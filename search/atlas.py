"""A 2-D map of posts: a Parquet file with coordinates of each image, for embedding viewers (embedding-atlas).

t-SNE, which keeps similar images together, places a sample of some thousand images. Every other image is placed at the
weighted mean of its nearest neighbours in the sample, so the time does not grow with the square of the posts.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import faiss
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from core.atomic_file import atomic_write
from core.errors import WorldError
from core.extras import needs_extra
from core.telemetry import log
from search.cluster_summaries import ClusterSummary
from search.exporting import ExportRow, Posts
from search.image_space import nearest_others, reduced_images
from search.vector_index import FloatMatrix, RowNumbers

_MAPPED: Final = 5_000
"""Size of the sample that t-SNE places, which takes some 20 seconds on two cores."""
_PERPLEXITY: Final = 30.0
_AMONG: Final = 5
"""Neighbours in the sample by which another image is placed."""
_NEIGHBOURS: Final = 15
_MOST_NEIGHBOURED: Final = 50_000
"""Most posts for which the column `neighbors` is computed."""
_FEW: Final = 4
"""Up to this many images are not worth a t-SNE."""
_BATCH: Final = 2048
_WORDS: Final = 4
_SEED: Final = 1

_SHOWN: Final = (
    pa.field("words", pa.string()),
    pa.field("cluster_label", pa.string()),
    pa.field("image", pa.struct([("bytes", pa.binary())])),
)
_PLACE: Final = (pa.field("projection_x", pa.float32()), pa.field("projection_y", pa.float32()))
_NEIGHBOURS_FIELD: Final = pa.field(
    "neighbors", pa.struct([("ids", pa.list_(pa.int64())), ("distances", pa.list_(pa.float32()))])
)


@dataclass(frozen=True, slots=True)
class WrittenAtlas:
    """Row counts of a written map."""

    posts: int
    left_out: int
    """Posts without an image embedding, or that were added while the map was made."""


def write_atlas(posts: Posts, clusters: list[ClusterSummary], path: Path) -> WrittenAtlas:
    """Write the map of a store's posts atomically (the file appears when it is complete).

    Columns are those of an export, and `projection_x`, `projection_y`, `words` (caption and text in the image),
    `cluster_label` (the cluster with its words, or `alone`), `image` (the thumbnail, in the form of Hugging Face's
    data sets) and, for up to 50,000 posts, `neighbors`.

    Raises:
        WorldError: No image has an embedding, or the file cannot be written.
    """
    ids, points = reduced_images(posts)
    if not len(ids):
        raise WorldError("no post of this store has an image embedding: there is nothing to map")
    places = _placed(points)
    near = nearest_others(points, _NEIGHBOURS) if len(ids) <= _MOST_NEIGHBOURED else None
    labels = _labels(clusters)
    row_of = {it: number for number, it in enumerate(ids)}
    schema = pa.schema([*posts.schema(), *_SHOWN, *_PLACE, *([_NEIGHBOURS_FIELD] if near else [])])
    written = left_out = 0
    order: list[int] = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as out, pq.ParquetWriter(out, schema) as writer:
            for batch in _in_order(posts, row_of):
                left_out += sum(number is None for number, _ in batch)
                made = [(number, row) for number, row in batch if number is not None]
                order += [number for number, _ in made]
                shown = _shown(posts, [row for _, row in made], labels)
                rows = [
                    row | _place(places[number]) | _near(near, number)
                    for (number, _), row in zip(made, shown, strict=True)
                ]
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                written += len(rows)
    except OSError as error:
        raise WorldError(f"{path}: {error.strerror or error}") from None
    if order != list(range(len(ids))):
        log.warning("the store changed while the map was made: neighbors may name wrong rows", file=str(path))
    return WrittenAtlas(written, left_out)


def _in_order(posts: Posts, row_of: dict[str, int]) -> Iterator[list[tuple[int | None, ExportRow]]]:
    batch: list[tuple[int | None, ExportRow]] = []
    for row in posts:
        batch.append((row_of.get(row["global_id"]), row))
        if len(batch) == _BATCH:
            yield batch
            batch = []
    yield batch


def write_images(posts: Posts, clusters: list[ClusterSummary], wanted: Collection[str], path: Path) -> int:
    """Write selected posts that have an image embedding, without a map: viewers can compute one from the vectors.

    Columns are those of an export with vectors, and `words`, `cluster_label` and `image` as in `write_atlas`. Rows are
    streamed in batches.

    Args:
        posts: Posts of a store, with vectors.
        clusters: Summaries of the store's clusters.
        wanted: Ids of the posts to write.
        path: The file; written atomically.

    Returns:
        The number of rows written.

    Raises:
        WorldError: The store cannot be read, or the file cannot be written.
    """
    labels = _labels(clusters)
    schema = pa.schema([*posts.schema(), *_SHOWN])
    rows = (row for row in posts if row["global_id"] in wanted and row["embeddings"] is not None)
    written = 0
    try:
        with atomic_write(path) as out, pq.ParquetWriter(out, schema) as writer:
            while some := list(islice(rows, _BATCH)):
                writer.write_table(pa.Table.from_pylist(_shown(posts, some, labels), schema=schema))
                written += len(some)
    except OSError as error:
        raise WorldError(f"{path}: {error.strerror or error}") from None
    return written


def _labels(clusters: list[ClusterSummary]) -> dict[int, str]:
    return {it.cluster: ", ".join((str(it.cluster), *it.words[:_WORDS])) for it in clusters if it.size > 1}


def _shown(posts: Posts, rows: list[ExportRow], labels: dict[int, str]) -> list[ExportRow]:
    """Add to each row the columns that a viewer shows: words, cluster label and thumbnail."""
    small = posts.small_images(key for row in rows if (key := row.get("picture_sha256")))
    return [
        {
            **row,
            "extra": orjson.dumps(row["extra"]).decode(),
            "words": "\n".join(dict.fromkeys(filter(None, (row.get("description"), row.get("text_as_read"))))),
            "cluster_label": labels.get(row["current_cluster"], "alone"),
            "image": {"bytes": small[key]} if (key := row.get("picture_sha256")) in small else None,
        }
        for row in rows
    ]


def _place(place: FloatMatrix) -> dict[str, float]:
    return {"projection_x": float(place[0]), "projection_y": float(place[1])}


def _near(near: tuple[RowNumbers, FloatMatrix] | None, number: int) -> dict[str, Any]:
    if near is None:
        return {}
    rows, distances = near[0][number], near[1][number]
    there = rows >= 0
    return {"neighbors": {"ids": rows[there].tolist(), "distances": distances[there].tolist()}}


def _placed(points: FloatMatrix) -> FloatMatrix:
    """Compute map coordinates of unit vectors of shape (n, dimension): shape (n, 2), float32."""
    some = np.sort(np.random.default_rng(_SEED).permutation(len(points))[:_MAPPED])
    places = np.zeros((len(points), 2), np.float32)
    places[some] = _by_tsne(points[some])
    others = np.setdiff1d(np.arange(len(points)), some)
    if len(others):
        index = faiss.IndexFlatIP(points.shape[1])
        index.add(points[some])
        cosines, near = index.search(points[others], _AMONG)
        weights = np.maximum(cosines - cosines.min(axis=1, keepdims=True), 0) + 1e-3
        weights /= weights.sum(axis=1, keepdims=True)
        places[others] = (places[some][near] * weights[..., None]).sum(axis=1)
    return places


@needs_extra("maps", "memewax export --form atlas")
def _by_tsne(points: FloatMatrix) -> FloatMatrix:
    from sklearn.manifold import TSNE

    if len(points) <= _FEW:
        return np.pad(points, ((0, 0), (0, 2)))[:, :2]
    if np.allclose(points, points[0], atol=1e-6):  # t-SNE would divide by their deviation, and crash
        return np.zeros((len(points), 2), np.float32)
    perplexity = min(_PERPLEXITY, (len(points) - 1) / 3)
    start = "pca" if min(points.shape) >= 2 else "random"
    made: FloatMatrix = TSNE(perplexity=perplexity, init=start, random_state=_SEED).fit_transform(points)
    return made.astype(np.float32)
