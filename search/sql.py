"""Sandboxed SQL over a store: DuckDB queries an in-memory copy of the columns that a query names, and nothing else."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from threading import Timer
from typing import Any, Final

import pyarrow as pa

from connectors.sinks.record_table import CURRENT_COLUMN, POSTS
from connectors.store.cluster_ids import stored_merges
from connectors.store.interface import StorePlace, TableReader
from connectors.store.lance_tables import tables_of
from core.errors import SettingsError, WorldError, first_line
from core.extras import needs_extra
from search.answer import ANSWERS
from search.cluster_summaries import check_store, summaries
from search.exporting import VECTORS

_CLUSTERS: Final = "clusters"
_TABLES: Final = (POSTS, _CLUSTERS, ANSWERS.name)
_THERE_ARE: Final = f"the tables are {', '.join(_TABLES)}"
_CURRENT: Final = CURRENT_COLUMN.name
_BATCH: Final = 1024
_MEMORY: Final = "2GB"
_COUNT: Final = re.compile(r"count\s*\(\s*\*\s*\)")
_WHOLE: Final = re.compile(r"\*|\b(columns|describe|summarize|natural|pivot|unpivot|table)\b")
"""Matches SQL that may read columns without naming them; a query without a SELECT may do so too."""
CONFIG: Final[dict[str, str | bool | int | float | list[str]]] = {
    "enable_external_access": "false",  # files, the network, other databases
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",  # variables of this program
    "memory_limit": _MEMORY,
    "temp_directory": "",
}
"""Configuration of DuckDB; locked before a query runs."""


@dataclass(frozen=True, slots=True)
class QueryResult:
    """Result of a query."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]
    """Streamed in batches while the query runs; can be read once."""


@contextmanager
def run_query(store: StorePlace, query: str, seconds: float) -> Iterator[QueryResult]:
    """Run a read-only query over the tables `posts`, `clusters` and `answers` of a store.

    Vector columns of `posts` are loaded only if the query names them; `current_cluster` is up to date.

    Args:
        store: The store, or its folder.
        query: One SELECT.
        seconds: Timeout, which includes reading the rows.

    Raises:
        SettingsError: It is not a SELECT, or it is not valid SQL over these tables.
        WorldError: The store cannot be read, or the query takes too long or too much memory.
    """
    check_store(store)
    with needs_extra("sql", "memewax sql"):
        import duckdb
    base = duckdb.connect(":memory:", config=CONFIG)
    timer = Timer(seconds, base.interrupt)
    timer.daemon = True
    try:
        with _translated_errors(seconds):
            kinds = [it.type.name for it in base.extract_statements(query)]
            if kinds != ["SELECT"]:
                found = ", ".join(kinds) or "nothing"
                raise SettingsError(f"expected one SELECT, found {found}: only the flow may change a store")
            for name in _TABLES:
                if name in query.lower() and (rows := _rows_of(store, name, query.lower())) is not None:
                    base.register("coming", rows)
                    base.execute(f"CREATE TABLE {name} AS SELECT * FROM coming")  # noqa: S608 - a name of our own
                    base.unregister("coming")
            base.execute("SET lock_configuration = true")
            base.execute("BEGIN TRANSACTION READ ONLY")  # a SELECT may have a DELETE within
            timer.start()
            reader = base.sql(query).to_arrow_reader(_BATCH)
        yield QueryResult(tuple(reader.schema.names), _rows(reader, seconds))
    finally:
        timer.cancel()
        base.close()


@contextmanager
def _translated_errors(seconds: float) -> Iterator[None]:
    import duckdb

    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError) as error:  # the latter two while rows are being read
        message = first_line(error)
        if isinstance(error, duckdb.PermissionException):
            raise SettingsError(f"a query may not access files, the network or settings; {_THERE_ARE}") from None
        if isinstance(error, duckdb.TransactionException):
            raise SettingsError(f"a query may not change a store, only the flow may; {_THERE_ARE}") from None
        if "Interrupted" in message:
            raise WorldError(f"the query took more than {seconds:g} s: allow more with --seconds") from None
        if "Out of Memory" in message:
            raise WorldError(f"the query takes more than {_MEMORY} of memory: name fewer columns or rows") from None
        raise SettingsError(f"{message}; {_THERE_ARE}") from None


def _rows(reader: pa.RecordBatchReader, seconds: float) -> Iterator[tuple[Any, ...]]:
    while True:
        with _translated_errors(seconds):
            batch = next(reader, None)
        if batch is None:
            return
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _rows_of(store: StorePlace, name: str, query: str) -> pa.RecordBatchReader | pa.Table | None:
    """Read the columns of a table that a query may need; None if the store has no such table yet."""
    if name == _CLUSTERS:
        return _clusters(store)
    tables = tables_of(store)
    if not tables.has(name):
        return None
    table = tables.table(name)
    names = _named(table.schema.names, query)
    return _posts(store, table, names, query) if name == POSTS else _stored(table, names)


def _named(there: Sequence[str], query: str) -> list[str]:
    """Return the columns that a query names or may mean; at least one, so that rows can be counted."""
    is_whole = "select" not in query or _WHOLE.search(_COUNT.sub("", query)) is not None
    named = [it for it in there if it.lower() in query or (is_whole and it not in VECTORS)]
    return named or [there[0]]


def _stored(table: TableReader, names: Sequence[str]) -> pa.RecordBatchReader:
    schema = pa.schema([table.schema.field(it) for it in names])
    return pa.RecordBatchReader.from_batches(schema, table.batches(names, batch=_BATCH))


def _posts(store: StorePlace, table: TableReader, names: Sequence[str], query: str) -> pa.RecordBatchReader:
    """Read rows of posts; if an older version wrote them, compute their current cluster from the cluster events."""
    there = table.schema.names
    if _CURRENT not in names and (_CURRENT in there or _CURRENT not in query):
        return _stored(table, names)
    wanted = list(dict.fromkeys([*names, *(it for it in ("global_id", "cluster", _CURRENT) if it in there)]))
    reader, merges = _stored(table, wanted), stored_merges(store)
    fields = [field for field in reader.schema if field.name != _CURRENT]
    schema = pa.schema([*fields, pa.field(_CURRENT, pa.int64())])

    def filled() -> Iterator[pa.RecordBatch]:
        for batch in reader:
            known = batch.column(_CURRENT).to_pylist() if _CURRENT in there else [None] * batch.num_rows
            ids, given = (batch.column(name).to_pylist() for name in ("global_id", "cluster"))
            current = [
                merges.current(id_, cluster) if now is None else now
                for id_, cluster, now in zip(ids, given, known, strict=True)
            ]
            columns = [batch.column(field.name) for field in fields]
            yield pa.record_batch([*columns, pa.array(current, pa.int64())], schema=schema)

    return pa.RecordBatchReader.from_batches(schema, filled())


def _clusters(store: StorePlace) -> pa.Table | None:
    rows = [asdict(it) for it in summaries(store, timedelta(days=1))]
    plain = [{**row, **{name: list(row[name]) for name in ("merged", "words")}} for row in rows]
    return pa.Table.from_pylist(plain) if plain else None
