"""Export of a store: posts, clusters or counts per day, as CSV, JSON Lines or Parquet. No model runs."""

import csv
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Literal, Self

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from connectors.sinks.record_table import POSTS, THUMBNAILS
from connectors.store.cluster_ids import stored_merges
from connectors.store.interface import StorePlace
from connectors.store.lance_tables import tables_of
from core.errors import SettingsError, WorldError
from core.merges import Merges
from core.times import time_or_none
from search.cluster_summaries import check_store, summaries
from search.corpus_layout import vectors_of
from search.store_posts import extra_of
from search.vector_index import FloatMatrix

ExportForm = Literal["csv", "jsonl", "parquet"]
FORMS: Final[Mapping[str, ExportForm]] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
"""Export form by file extension."""
_BATCH: Final = 1024
_MOST_CUSTOM: Final = 100
"""Most fields of `extra` that become columns; further fields stay in `extra`."""
_MOST_SEEN: Final = 10_000
"""Most distinct field names that are counted to choose these, since posts may hold any number of them."""
VECTORS: Final = ("embeddings", "text_embedding")
_COUNTED: Final = ("global_id", "created_time", "joined_time", "cluster", "current_cluster")
_DAY: Final = timedelta(days=1)

ExportRow = dict[str, Any]


def form_of_export(path: Path, form: str | None) -> ExportForm:
    """Return the export form: the one given, or else the one of the file extension.

    Raises:
        SettingsError: Neither is a known form.
    """
    found = FORMS.get(f".{form}") if form else FORMS.get(path.suffix.lower())
    if found is None:
        raise SettingsError(
            f"the form of {path} is not clear: choose csv, jsonl, parquet, gexf (posts and clusters) or atlas (posts) "
            "with --form or by the file extension"
        )
    return found


class Posts:
    """Iterable over the rows of posts of a store, with current clusters, and with fields of `extra` as columns.

    Args:
        store: The store, or its folder.
        vectors: Whether to include the embeddings.
    """

    def __init__(self, store: StorePlace, *, vectors: bool = False) -> None:
        check_store(store)
        self._tables = tables_of(store)
        self._merges: Merges = stored_merges(store)
        self._table = self._tables.table(POSTS)
        left_out = {"extra", *(() if vectors else VECTORS)}
        self._fields = [field for field in self._table.schema if field.name not in left_out]

    def __iter__(self) -> Iterator[ExportRow]:
        """Yield the rows, read in batches; raise `WorldError` if the store cannot be read."""
        names = [field.name for field in self._fields]
        for row in self._rows([*names, "extra"]):
            extra = extra_of(row)
            custom = {name: _typed(extra.pop(field, None), kind) for name, (field, kind) in self.custom.items()}
            known = {name: row.get(name) for name in names}
            yield {**known, "current_cluster": row["current_cluster"], **custom, "extra": extra}

    def times(self) -> Iterator[ExportRow]:
        """Yield ids, times and clusters of all posts."""
        return self._rows(_COUNTED)

    def embeddings(self) -> Iterator[tuple[list[str], FloatMatrix]]:
        """Yield batches of post ids and image embeddings, shape (n, dimension), of the posts that have one."""
        for batch in self._batches(("global_id", "embeddings")):
            vectors, there = vectors_of(batch.column("embeddings"))
            yield batch.column("global_id").filter(pa.array(there)).to_pylist(), vectors[there]

    def small_images(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Read thumbnails (WebP) by key; missing ones are left out. Raise `WorldError` if the store cannot be read."""
        if not self._tables.has(THUMBNAILS.name):
            return {}
        found = self._tables.table(THUMBNAILS.name).rows(sorted(set(keys)), ["webp"])
        return {row[THUMBNAILS.key]: row["webp"] for row in found.to_pylist()}

    def schema(self) -> pa.Schema:
        """Return the schema of a Parquet file of the rows."""
        fields = [field for field in self._fields if field.name != "current_cluster"]
        custom = [pa.field(name, _ARROW[kind]) for name, (_, kind) in self.custom.items()]
        return pa.schema([*fields, pa.field("current_cluster", pa.int64()), *custom, pa.field("extra", pa.string())])

    def _rows(self, columns: Sequence[str]) -> Iterator[ExportRow]:
        for batch in self._batches(columns):
            for row in batch.to_pylist():
                if row.get("current_cluster") is None:
                    row["current_cluster"] = self._merges.current(row["global_id"], row["cluster"])
                yield row

    def _batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        return self._table.batches(columns, batch=_BATCH)

    @cached_property
    def custom(self) -> dict[str, tuple[str, str]]:
        """Choose which fields of `extra` become columns: field and type by column name, the most frequent first."""
        seen: Counter[str] = Counter()
        kinds: dict[str, set[str]] = {}
        for batch in self._batches(["extra"]):
            for row in batch.to_pylist():
                for name, value in extra_of(row).items():
                    if value is not None and (name in seen or len(seen) < _MOST_SEEN):
                        seen[name] += 1
                        kinds.setdefault(name, set()).add(_kind(value))
        ours = {field.name for field in self._fields} | {"extra", *VECTORS}
        custom = {}
        for name, _ in sorted(seen.items(), key=lambda it: (-it[1], it[0]))[:_MOST_CUSTOM]:
            kind = (
                kinds[name].pop() if len(kinds[name]) == 1 else "float" if kinds[name] <= {"int", "float"} else "text"
            )
            custom[f"extra_{name}" if name in ours else name] = name, kind
        return custom


def clusters_of(store: StorePlace, hours: float) -> list[ExportRow]:
    """Return a row for each cluster that has posts, largest first; raise `WorldError` if there is no store.

    Args:
        store: The store.
        hours: Length of the recent window.
    """
    found = [asdict(it) for it in summaries(store, timedelta(hours=hours))]
    for row in found:
        row |= {name: row[name].isoformat() for name in ("first_seen", "last_seen")}
        row |= {name: list(row[name]) for name in ("merged", "words")}
    return found


def counts_of(posts: Posts) -> list[ExportRow]:
    """Count posts per day and cluster, sorted by both; posts without a cluster are left out."""
    found = (row for row in posts.times() if (row["current_cluster"] or 0) >= 0)
    counts = Counter((day_of(row), row["current_cluster"]) for row in found)
    return [{"day": day, "cluster": cluster, "posts": count} for (day, cluster), count in sorted(counts.items())]


def day_of(row: Mapping[str, Any]) -> str:
    """Return the day (UTC, ISO) of posting, or if that time cannot be parsed, of the join."""
    time = time_or_none(row["created_time"]) or time_or_none(row["joined_time"]) or datetime.fromtimestamp(0, UTC)
    return time.date().isoformat()


COUNTS_SCHEMA: Final = pa.schema([("day", pa.string()), ("cluster", pa.int64()), ("posts", pa.int64())])


def write_export(
    rows: Iterable[ExportRow], path: Path, form: ExportForm, schema: pa.Schema | None, *, by_day: bool, replace: bool
) -> int:
    """Write rows to a file atomically, or to a folder partitioned by day.

    Args:
        rows: The rows.
        path: The file, or with `by_day` the folder.
        form: Form of the file.
        schema: Schema of a Parquet file; None to infer it from the rows.
        by_day: Write a folder `day=…` for each day.
        replace: Whether to overwrite an existing file.

    Returns:
        The number of rows written.

    Raises:
        WorldError: The file or folder exists already, or cannot be written.
    """
    if path.exists() and (by_day or not replace):
        todo = "choose another folder" if by_day else "choose another file, or overwrite it with --replace"
        raise WorldError(f"{path} exists already: {todo}")
    if not by_day:
        return _write_file(rows, path, form, schema)
    written = 0
    for number, batch in enumerate(_in_batches(rows)):
        days: dict[str, list[ExportRow]] = {}
        for row in batch:
            days.setdefault(row.get("day") or day_of(row), []).append(row)
        for day, some in days.items():
            folder = path / f"day={day}"
            folder.mkdir(parents=True, exist_ok=True)
            written += _write_file(some, folder / f"part-{number:05}.{form}", form, schema)
    return written


def _write_file(rows: Iterable[ExportRow], path: Path, form: ExportForm, schema: pa.Schema | None) -> int:
    written = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with _writer(unfinished, form, schema) as writer:
            for batch in _in_batches(rows):
                writer.write(batch)
                written += len(batch)
        unfinished.replace(path)
    except OSError as error:
        raise WorldError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return written


def _in_batches(rows: Iterable[ExportRow]) -> Iterator[list[ExportRow]]:
    batch: list[ExportRow] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


class _RowWriter(ABC):
    """Writes batches of rows to a file."""

    @abstractmethod
    def write(self, rows: list[ExportRow]) -> None:
        """Write a batch."""


@contextmanager
def _writer(path: Path, form: ExportForm, schema: pa.Schema | None) -> Iterator[_RowWriter]:
    if form == "parquet":
        with _Parquet(path, schema) as parquet:
            yield parquet
    elif form == "csv":
        with path.open("w", newline="", encoding="utf-8") as text:
            yield _Csv(text)
    else:
        with path.open("wb") as file:
            yield _Lines(file)


class _Csv(_RowWriter):
    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._names: list[str] | None = None

    def write(self, rows: list[ExportRow]) -> None:
        writer = csv.writer(self._file)
        if self._names is None:
            self._names = list(rows[0])
            writer.writerow(self._names)
        for row in rows:
            writer.writerow([_cell(row[name]) for name in self._names])


class _Lines(_RowWriter):
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, rows: list[ExportRow]) -> None:
        for row in rows:
            self._file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


class _Parquet(_RowWriter, AbstractContextManager["_Parquet"]):
    def __init__(self, path: Path, schema: pa.Schema | None) -> None:
        self._path = path
        self._schema = schema
        self._writer: Any = None

    def __enter__(self) -> Self:
        if self._schema is not None:
            self._writer = pq.ParquetWriter(self._path, self._schema)
        return self

    def write(self, rows: list[ExportRow]) -> None:
        rows = [row if "extra" not in row else {**row, "extra": orjson.dumps(row["extra"]).decode()} for row in rows]
        table = pa.Table.from_pylist(rows, schema=self._schema)
        if self._writer is None:
            self._schema = table.schema
            self._writer = pq.ParquetWriter(self._path, self._schema)
        self._writer.write_table(table)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()
        elif kind is None:
            pq.write_table(pa.table({}), self._path)


def _cell(value: Any) -> Any:
    """Convert a value to a CSV cell: lists and objects as JSON, and formulas quoted, since texts are untrusted."""
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode() if value else ""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""First characters of cells that spreadsheets evaluate, in half and in full width (OWASP, CSV injection)."""

_ARROW: Final = {"text": pa.string(), "int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -(2**63) <= value < 2**63 else "float"
    return "float" if isinstance(value, float) else "text"


def _typed(value: Any, kind: str) -> Any:
    if value is None or (kind == "text" and isinstance(value, str)):
        return value
    if kind == "text":
        return orjson.dumps(value).decode()
    return float(value) if kind == "float" else value
