"""The analytics store: a LanceDB folder with a table of posts, one row per `global_id`."""

import fcntl
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import lancedb
import orjson
import pyarrow as pa
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition
from lancedb.index import BTree

from memewax.errors import WorldError
from memewax.records import SIDES
from memewax.telemetry import log, step
from operators.addresses import part_name
from operators.rows import Row

TABLE: Final = "posts"
_COMPACT_EVERY: Final = 200
"""Each write adds a fragment and a version; after so many they are put together and old ones go."""
_COMPACT_ROWS: Final = 25_000
"""So are they after so many rows: a write compares its ids with all that are not in the index yet."""
_GATHER_SECONDS: Final = 1.0
_GATHER_ROWS: Final = 512
_KEEP: Final = timedelta(minutes=10)
"""Versions that readers may still have open."""


def posts_schema(image_dimension: int, text_dimension: int) -> pa.Schema:
    """Columns of the table; both embeddings are float32 vectors of a fixed length."""
    text, number = pa.string(), pa.float64()
    entity = pa.struct({"text": text, "label": text, "start": pa.int32(), "end": pa.int32()})
    line = pa.struct({"text": text, "confidence": number, "box": pa.list_(pa.list_(number))})
    return pa.schema(
        {
            "global_id": text,
            "author": text,
            "created_time": text,
            "description": text,
            "score": pa.int64(),
            "url": text,
            "source": text,
            "embeddings": pa.list_(pa.float32(), image_dimension),
            "cluster": pa.int64(),
            "text": text,
            "entities": pa.list_(entity),
            "sentiments": pa.struct(dict.fromkeys(("negative", "neutral", "positive", "compound"), number)),
            "ingestion_time": text,
            "joined_time": text,
            "cluster_distance": number,
            "text_as_read": text,
            "lines": pa.list_(line),
            "text_embedding": pa.list_(pa.float32(), text_dimension),
            "missing": pa.list_(text),
            "failures": pa.list_(pa.struct({"stage": text, "exception": text, "reason": text})),
            "timings": pa.struct(dict.fromkeys(("fetch", *SIDES), number)),
            "models": pa.struct(dict.fromkeys(SIDES, text)),
            "extra": text,
        }
    )


class PostStore:
    """The table of posts in a folder; what is written twice is there once."""

    def __init__(self, folder: Path, image_dimension: int, text_dimension: int) -> None:
        """Open or create it; raises `WorldError` where it cannot be, or holds vectors of other models."""
        self._schema = posts_schema(image_dimension, text_dimension)
        self._writes = self._loose_rows = 0
        try:
            self._table = self._opened(folder)
        except (OSError, RuntimeError, ValueError) as error:
            raise WorldError(f"{folder} cannot be opened as a store: {_first_line(error)}") from None
        if self._table.schema.names != self._schema.names:
            raise WorldError(f"{folder} holds a table {TABLE!r} of other columns: choose another folder")
        for column in ("embeddings", "text_embedding"):
            found, wanted = self._table.schema.field(column).type, self._schema.field(column).type
            if found != wanted:
                raise WorldError(
                    f"{folder} holds {column} of {found.list_size} numbers and the model makes {wanted.list_size}: "
                    "choose the model it was made with, or another folder"
                )

    def _opened(self, folder: Path) -> Any:
        database = lancedb.connect(folder)
        with _alone(folder):
            try:
                return database.open_table(TABLE)
            except ValueError:  # it is not there
                return database.create_table(TABLE, schema=self._schema)

    def upsert(self, rows: list[Row]) -> None:
        """Write rows; of several with one id the last one stays."""
        unique = {row["global_id"]: row for row in rows}
        columns = [{**row, "extra": orjson.dumps(row["extra"]).decode()} for row in unique.values()]
        table = pa.Table.from_pylist(columns, schema=self._schema)
        try:
            merge = self._table.merge_insert("global_id").when_matched_update_all().when_not_matched_insert_all()
            merge.execute(table, on_bad_vectors="null")  # the schema fixed their lengths: only nulls are left
        except (OSError, RuntimeError) as error:
            raise _unwritable(error) from error
        self._writes += 1
        self._loose_rows += len(columns)
        if self._writes >= _COMPACT_EVERY or self._loose_rows >= _COMPACT_ROWS:
            self.compact()

    def compact(self) -> None:
        """Put fragments together, drop old versions, bring the index over ids up to date."""
        try:
            if not self._table.list_indices():
                self._table.create_index("global_id", config=BTree())
            self._table.optimize(cleanup_older_than=_KEEP)
        except (OSError, RuntimeError) as error:
            raise _unwritable(error) from error
        self._writes = self._loose_rows = 0
        log.debug("store compacted", rows=self.count())

    def count(self) -> int:
        """How many posts there are."""
        return int(self._table.count_rows())

    def rows(self) -> list[Row]:
        """All posts, whole: for reports over small stores."""
        rows: list[Row] = self._table.to_arrow().to_pylist()
        return [{**row, "extra": orjson.loads(row["extra"])} for row in rows]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time: of two that make the table at once, one would fail or overwrite the other's."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _unwritable(error: Exception) -> WorldError:
    return WorldError(f"the store cannot be written: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


class StoreSink(FixedPartitionedSink[Row, dict[str, Any]]):
    """Upserts the values of `(key, row)`; one worker writes, so that writers never conflict."""

    def __init__(self, folder: Path, image_dimension: int, text_dimension: int) -> None:
        self._folder = folder.resolve()
        self._dimensions = image_dimension, text_dimension

    def check(self) -> None:
        """Open the store once, to raise `WorldError` before anything is read."""
        self.list_parts()
        PostStore(self._folder, *self._dimensions)

    def list_parts(self) -> list[str]:
        """The folder, as the one part."""
        return [part_name(self._folder)]

    def build_part(self, step_id: str, for_part: str, resume_state: dict[str, Any] | None) -> "StorePart":  # noqa: ARG002
        """Open the store; what was written after the snapshot is simply written again."""
        return StorePart(PostStore(self._folder, *self._dimensions))


class StorePart(StatefulSinkPartition[Row, dict[str, Any]]):
    """Gathers rows for a second: a write takes some ten milliseconds, however few they are."""

    def __init__(self, store: PostStore, now: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._now = now
        self._rows: list[Row] = []
        self._written = -math.inf

    def write_batch(self, values: list[Row]) -> None:
        """Take rows in; a lone one is written at once, those of a burst together."""
        self._rows += values
        if len(self._rows) >= _GATHER_ROWS or self._now() - self._written >= _GATHER_SECONDS:
            self._write()

    def snapshot(self) -> dict[str, Any]:
        """Write what waits, before it counts as written; after a crash it comes again."""
        self._write()
        return {"version": 1}

    def _write(self) -> None:
        if not self._rows:
            return
        with step("store", len(self._rows)):
            self._store.upsert(self._rows)
        self._rows = []
        self._written = self._now()
