"""What a store holds, written out: posts, clusters and counts per day, as CSV, JSON Lines or Parquet. No model runs."""

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
"""By the endings of names."""
_BATCH: Final = 1024
_MOST_OWN: Final = 100
"""Custom columns; what more there is stays in `extra`."""
_MOST_SEEN: Final = 10_000
"""Names of fields that are counted to find these: strangers may write any."""
VECTORS: Final = ("embeddings", "text_embedding")
_COUNTED: Final = ("global_id", "created_time", "joined_time", "cluster", "current_cluster")
_DAY: Final = timedelta(days=1)

ExportRow = dict[str, Any]


def form_of_export(path: Path, form: str | None) -> ExportForm:
    """The form that is said, or that of the ending; raises `SettingsError` where neither tells."""
    found = FORMS.get(f".{form}") if form else FORMS.get(path.suffix.lower())
    if found is None:
        raise SettingsError(
            f"{path} is written as csv, jsonl or parquet, posts and clusters as gexf, posts as atlas too: "
            "say which with --form, or by its ending"
        )
    return found


class Posts:
    """The rows of posts in a store, with clusters as of now, and with fields of `extra` as columns.

    Args:
        store: The store, or its folder.
        vectors: Whether embeddings are among the columns.
    """

    def __init__(self, store: StorePlace, *, vectors: bool = False) -> None:
        check_store(store)
        self._tables = tables_of(store)
        self._merges: Merges = stored_merges(store)
        self._table = self._tables.table(POSTS)
        left_out = {"extra", *(() if vectors else VECTORS)}
        self._fields = [field for field in self._table.schema if field.name not in left_out]

    def __iter__(self) -> Iterator[ExportRow]:
        """The rows, a few in memory at a time; raises `WorldError` where the store cannot be read."""
        names = [field.name for field in self._fields]
        for row in self._rows([*names, "extra"]):
            extra = extra_of(row)
            own = {name: _typed(extra.pop(field, None), kind) for name, (field, kind) in self.own.items()}
            known = {name: row.get(name) for name in names}
            yield {**known, "current_cluster": row["current_cluster"], **own, "extra": extra}

    def times(self) -> Iterator[ExportRow]:
        """When each post was, and in which cluster it is."""
        return self._rows(_COUNTED)

    def embeddings(self) -> Iterator[tuple[list[str], FloatMatrix]]:
        """Ids of posts whose image has an embedding, and these, of length 1: some at a time."""
        for batch in self._batches(("global_id", "embeddings")):
            vectors, there = vectors_of(batch.column("embeddings"))
            yield batch.column("global_id").filter(pa.array(there)).to_pylist(), vectors[there]

    def small_images(self, keys: Iterable[str]) -> dict[str, bytes]:
        """The thumbnails of some images, as WebP, by key; those that the store has. Raises `WorldError`."""
        if not self._tables.has(THUMBNAILS.name):
            return {}
        found = self._tables.table(THUMBNAILS.name).rows(sorted(set(keys)), ["webp"])
        return {row[THUMBNAILS.key]: row["webp"] for row in found.to_pylist()}

    def schema(self) -> pa.Schema:
        """Of a Parquet file of the rows."""
        fields = [field for field in self._fields if field.name != "current_cluster"]
        own = [pa.field(name, _ARROW[kind]) for name, (_, kind) in self.own.items()]
        return pa.schema([*fields, pa.field("current_cluster", pa.int64()), *own, pa.field("extra", pa.string())])

    def _rows(self, columns: Sequence[str]) -> Iterator[ExportRow]:
        for batch in self._batches(columns):
            for row in batch.to_pylist():
                if row.get("current_cluster") is None:
                    row["current_cluster"] = self._merges.current(row["global_id"], row["cluster"])
                yield row

    def _batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        return self._table.batches(columns, batch=_BATCH)

    @cached_property
    def own(self) -> dict[str, tuple[str, str]]:
        """Field of `extra` and kind of value by the name of its column, the commonest first."""
        seen: Counter[str] = Counter()
        kinds: dict[str, set[str]] = {}
        for batch in self._batches(["extra"]):
            for row in batch.to_pylist():
                for name, value in extra_of(row).items():
                    if value is not None and (name in seen or len(seen) < _MOST_SEEN):
                        seen[name] += 1
                        kinds.setdefault(name, set()).add(_kind(value))
        ours = {field.name for field in self._fields} | {"extra", *VECTORS}
        own = {}
        for name, _ in sorted(seen.items(), key=lambda it: (-it[1], it[0]))[:_MOST_OWN]:
            kind = (
                kinds[name].pop() if len(kinds[name]) == 1 else "float" if kinds[name] <= {"int", "float"} else "text"
            )
            own[f"extra_{name}" if name in ours else name] = name, kind
        return own


def clusters_of(store: StorePlace, hours: float) -> list[ExportRow]:
    """A row for each cluster that has posts; raises `WorldError` where there is no store."""
    found = [asdict(it) for it in summaries(store, timedelta(hours=hours))]
    for row in found:
        row |= {name: row[name].isoformat() for name in ("first_seen", "last_seen")}
        row |= {name: list(row[name]) for name in ("merged", "words")}
    return found


def counts_of(posts: Posts) -> list[ExportRow]:
    """How many posts each cluster had on each day, by day and cluster; posts without a cluster are not counted."""
    found = (row for row in posts.times() if (row["current_cluster"] or 0) >= 0)
    counts = Counter((day_of(row), row["current_cluster"]) for row in found)
    return [{"day": day, "cluster": cluster, "posts": count} for (day, cluster), count in sorted(counts.items())]


def day_of(row: Mapping[str, Any]) -> str:
    """The day (UTC) on which a post was posted, or where it does not say so readably, was joined."""
    time = time_or_none(row["created_time"]) or time_or_none(row["joined_time"]) or datetime.fromtimestamp(0, UTC)
    return time.date().isoformat()


COUNTS_SCHEMA: Final = pa.schema([("day", pa.string()), ("cluster", pa.int64()), ("posts", pa.int64())])


def write_export(
    rows: Iterable[ExportRow], path: Path, form: ExportForm, schema: pa.Schema | None, *, by_day: bool, replace: bool
) -> int:
    """Write rows; gives how many there were. The file is there when all of it is.

    Args:
        rows: What is written.
        path: The file, or with `by_day` the folder.
        form: Of the file.
        schema: Of a Parquet file; None: as the rows are.
        by_day: Write a folder `day=…` for each day.
        replace: Whether a file that is there is written over.

    Raises:
        WorldError: where something is there already.
    """
    if path.exists() and (by_day or not replace):
        todo = "name another folder" if by_day else "name another file, or say --replace"
        raise WorldError(f"{path} is there already: {todo}")
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
        raise WorldError(f"{path}: {error.strerror or error}") from None
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
    """Writes rows to a file."""

    @abstractmethod
    def write(self, rows: list[ExportRow]) -> None:
        """Write some."""


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
    """A value as CSV has it: lists and objects as JSON, nothing as an empty cell; no text of strangers as a formula."""
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode() if value else ""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a cell begins with that spreadsheets compute, in half and in full width (OWASP, CSV injection)."""

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
