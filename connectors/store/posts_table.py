"""The analytics store: a LanceDB folder with a table of posts, one row per `global_id`."""

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

import orjson
import pyarrow as pa
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from connectors.endpoints import part_name
from connectors.sinks.rows import Row
from connectors.store.keyed_table import KeyedTable
from core.errors import WorldError
from core.records import SIDES
from core.telemetry import step

TABLE: Final = "posts"
_GATHER_SECONDS: Final = 1.0
_GATHER_ROWS: Final = 512


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
            "duplicate_of": text,
        }
    )


class Upserts(Protocol):
    """What rows can be written to, more than once with the same result."""

    def upsert(self, rows: list[Row]) -> None:
        """Write rows."""


class PostStore:
    """The table of posts in a folder; what is written twice is there once."""

    def __init__(self, folder: Path, image_dimension: int, text_dimension: int) -> None:
        """Open or create it; raises `WorldError` where it cannot be, or holds vectors of other models."""
        schema = posts_schema(image_dimension, text_dimension)
        self._table = KeyedTable(folder, TABLE, "global_id", schema)
        for column in ("embeddings", "text_embedding"):
            found, wanted = self._table.schema.field(column).type, schema.field(column).type
            if found != wanted:
                raise WorldError(
                    f"{folder} holds {column} of {found.list_size} numbers and the model makes {wanted.list_size}: "
                    "choose the model it was made with, or another folder"
                )

    def upsert(self, rows: list[Row]) -> None:
        """Write rows; of several with one id the last one stays."""
        self._table.upsert([{**row, "extra": orjson.dumps(row["extra"]).decode()} for row in rows])

    def compact(self) -> None:
        """Put fragments together, drop old versions, bring the index over ids up to date."""
        self._table.compact()

    def count(self) -> int:
        """How many posts there are."""
        return self._table.count()

    def rows(self) -> list[Row]:
        """All posts, whole: for reports over small stores."""
        return [{**row, "extra": orjson.loads(row["extra"])} for row in self._table.rows()]


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


Later = Callable[[float, Callable[[], None]], None]
"""Calls a function after so many seconds, on another thread."""


def _later(seconds: float, call: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()


class StorePart(StatefulSinkPartition[Row, dict[str, Any]]):
    """Gathers rows for a second: a write takes some ten milliseconds, however few they are.

    A sink hears of time only by the next rows, or the next snapshot. So that the last rows of a burst are found within
    a second too, a timer writes them; a write that fails there is raised with the next call.
    """

    def __init__(self, store: Upserts, now: Callable[[], float] = time.monotonic, later: Later = _later) -> None:
        self._store = store
        self._now = now
        self._later = later
        self._rows: list[Row] = []
        self._written = -math.inf
        self._alone = threading.Lock()
        self._is_due = False
        self._failed: Exception | None = None

    def write_batch(self, values: list[Row]) -> None:
        """Take rows in; a lone one is written at once, those of a burst together."""
        with self._alone:
            self._rows += values
            if self._failed or len(self._rows) >= _GATHER_ROWS or self._now() - self._written >= _GATHER_SECONDS:
                self._write()
            elif self._rows and not self._is_due:
                self._is_due = True
                self._later(_GATHER_SECONDS, self._write_what_waits)

    def snapshot(self) -> dict[str, Any]:
        """Write what waits, before it counts as written; after a crash it comes again."""
        with self._alone:
            self._write()
        return {"version": 1}

    def _write_what_waits(self) -> None:
        with self._alone:
            self._is_due = False
            try:
                self._write()
            except Exception as error:
                self._failed = error

    def _write(self) -> None:
        if self._failed is not None:
            raise self._failed
        if not self._rows:
            return
        with step("store", len(self._rows)):
            self._store.upsert(self._rows)
        self._rows = []
        self._written = self._now()
