"""Table adapters: map rows of a corpus's table, or of the table of posts, to one schema (`FORM`)."""

import uuid
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa

from connectors.sinks.record_table import HIDDEN, THUMBNAILS
from connectors.store.interface import TableReader
from connectors.store.stored_models import model_of
from core.times import time_or_none
from search.vector_index import FloatMatrix

POSTS: Final = "posts"
"""Name of the corpus of posts, the table that the flow writes."""

NO_CORPORA: Final = frozenset({"answers", "clusters", "results", HIDDEN, THUMBNAILS.name})
"""Tables of a store that are not corpora: answers, clusters, hidden posts and thumbnails."""

MODEL_KEY: Final = "memewax.model"
"""Key in a table's schema metadata: the model of its vectors."""

TIME: Final = pa.timestamp("us", tz="UTC")

FORM: Final = pa.schema(
    {
        "id": pa.string(),
        "stamp": pa.string(),
        "text": pa.string(),
        "source": pa.string(),
        "created": TIME,
        "language": pa.string(),
        "metadata": pa.string(),
    }
)
"""Schema of the rows in memory, without vectors; `stamp` differs when a row has changed, `metadata` is JSON."""

MADE_KEY: Final = "memewax.made"
"""Key in a table's schema metadata: a unique id, since a dropped table may be recreated under the same name."""


def corpus_schema(dimension: int, model: str) -> pa.Schema:
    """Return the schema of a corpus's table.

    `text_hash` covers the text and the model: if it differs, the vector is stale. `row_hash` covers the whole row.

    Args:
        dimension: Embedding dimension of the model.
        model: Name of the model.
    """
    text = pa.string()
    columns = {
        "id": text,
        "text": text,
        "source": text,
        "created": TIME,
        "language": text,
        "metadata": text,
        "text_hash": text,
        "row_hash": text,
        "vector": pa.list_(pa.float32(), dimension),
    }
    return pa.schema(columns, metadata={MODEL_KEY: model, MADE_KEY: uuid.uuid4().hex})


@dataclass(frozen=True, slots=True)
class Layout:
    """Adapter of a corpus's table: the columns that a corpus needs."""

    vector: str
    """Column of vectors; null if a row has none."""
    id: str = "id"
    stamp: str = "row_hash"
    columns: tuple[str, ...] = ("text", "source", "created", "language", "metadata")

    @property
    def all(self) -> list[str]:
        """Return all columns to read."""
        return [self.id, self.stamp, self.vector, *self.columns]

    def form(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Convert a batch to the schema `FORM`."""
        columns = {name: batch.column(name) for name in self.columns}
        columns |= {"id": batch.column(self.id), "stamp": batch.column(self.stamp)}
        return pa.RecordBatch.from_arrays([columns[name] for name in FORM.names], schema=FORM)

    def model(self, table: TableReader) -> str:
        """Read the name of the model of the vectors from the table's metadata; empty if it is not there."""
        found: bytes = (table.schema.metadata or {}).get(MODEL_KEY.encode(), b"")
        return found.decode()


@dataclass(frozen=True, slots=True)
class PostsLayout(Layout):
    """Adapter of the table of posts; the text is the caption and the text read in the image."""

    id: str = "global_id"
    stamp: str = "joined_time"
    columns: tuple[str, ...] = (
        "description",
        "text_as_read",
        "source",
        "created_time",
        "author",
        "score",
        "url",
        "cluster",
    )
    stage: str = "text_embedding"
    """Stage that made the vectors."""

    def form(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Convert a batch to the schema `FORM`; a time that cannot be parsed becomes null."""
        rows = batch.select([self.id, self.stamp, *self.columns]).to_pylist()
        shaped = [
            {
                "id": row[self.id],
                "stamp": row[self.stamp],
                "text": "\n".join(part for part in (row["description"], row["text_as_read"]) if part),
                "source": row["source"] or None,
                "created": time_or_none(row["created_time"]),
                "language": None,
                "metadata": orjson.dumps(
                    {name: row[name] for name in ("author", "score", "url", "cluster", "text_as_read", "created_time")}
                ).decode(),
            }
            for row in rows
        ]
        return pa.RecordBatch.from_pylist(shaped, schema=FORM)

    def model(self, table: TableReader) -> str:
        """Read the name of the model of the vectors from one of the rows."""
        return model_of(table, self.vector, self.stage)


def layout_of(name: str, vectors: str | None) -> Layout:
    """Return the adapter of a corpus's table.

    Args:
        name: Name of the corpus.
        vectors: Vector column of posts: `embeddings` for images, otherwise `text_embedding`.
    """
    if name != POSTS:
        return Layout("vector")
    if vectors == "embeddings":
        return PostsLayout("embeddings", stage="embedding")
    return PostsLayout("text_embedding")


def vectors_of(column: pa.FixedSizeListArray) -> tuple[FloatMatrix, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Convert a column of vectors to NumPy.

    Returns:
        The vectors, shape (rows, dimension), float32, and which rows have one, shape (rows,): rows that are null are
        zero, and rows that are not finite count as having none.
    """
    there = np.asarray(column.is_valid())
    flat = column.flatten()  # leaves null rows out
    vectors = np.zeros((len(column), column.type.list_size), np.float32)
    vectors[there] = flat.to_numpy(zero_copy_only=False).reshape(-1, column.type.list_size)
    there &= np.isfinite(vectors).all(axis=1)
    return vectors, there
