"""How the tables of a store become one form of rows: a corpus of texts, or the posts by their texts or images."""

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
"""The corpus of what the flow analyses: the store's own table."""

NO_CORPORA: Final = frozenset({"answers", "clusters", "results", HIDDEN, THUMBNAILS.name})
"""Tables of a store that hold what was answered, what became of clusters, what is hidden, and small images."""

MODEL_KEY: Final = "memewax.model"
"""In a table's schema metadata: the model of its vectors."""

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
"""What is kept of a row in memory beside its vector; `stamp` differs where a row has changed, `metadata` is JSON."""


MADE_KEY: Final = "memewax.made"
"""Beside it: an id of this very table, since one that was dropped may come back under its name."""


def corpus_schema(dimension: int, model: str) -> pa.Schema:
    """Columns of a corpus's table.

    `text_hash` is of the text and the model, and says whether the vector still fits; `row_hash` is of the whole row.
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
    """Where a table keeps what a corpus needs."""

    vector: str
    """Column of vectors; null where a row has none."""
    id: str = "id"
    stamp: str = "row_hash"
    columns: tuple[str, ...] = ("text", "source", "created", "language", "metadata")

    @property
    def all(self) -> list[str]:
        """Every column that is read."""
        return [self.id, self.stamp, self.vector, *self.columns]

    def form(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch's rows in the one form."""
        columns = {name: batch.column(name) for name in self.columns}
        columns |= {"id": batch.column(self.id), "stamp": batch.column(self.stamp)}
        return pa.RecordBatch.from_arrays([columns[name] for name in FORM.names], schema=FORM)

    def model(self, table: TableReader) -> str:
        """The model of the vectors, as the table tells it."""
        found: bytes = (table.schema.metadata or {}).get(MODEL_KEY.encode(), b"")
        return found.decode()


@dataclass(frozen=True, slots=True)
class PostsLayout(Layout):
    """The table of posts; its text is the caption and what was read in the image."""

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
    side: str = "text_embedding"
    """The side of the join that made the vectors."""

    def form(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch's rows in the one form; a time that cannot be read is null."""
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
        """The model of the vectors, as one of the rows tells it."""
        return model_of(table, self.vector, self.side)


def layout_of(name: str, vectors: str | None) -> Layout:
    """The layout of a corpus's table; `vectors` chooses among the columns of vectors of posts."""
    if name != POSTS:
        return Layout("vector")
    if vectors == "embeddings":
        return PostsLayout("embeddings", side="embedding")
    return PostsLayout("text_embedding")


def vectors_of(column: pa.FixedSizeListArray) -> tuple[FloatMatrix, np.ndarray[Any, np.dtype[np.bool_]]]:
    """The vectors of a column, shape (rows, dimension), and which rows have one; the others are 0."""
    there = np.asarray(column.is_valid())
    flat = column.flatten()  # leaves null rows out
    vectors = np.zeros((len(column), column.type.list_size), np.float32)
    vectors[there] = flat.to_numpy(zero_copy_only=False).reshape(-1, column.type.list_size)
    there &= np.isfinite(vectors).all(axis=1)
    return vectors, there
