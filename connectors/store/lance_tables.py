"""Read access to LanceDB tables in a folder."""

import time
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from connectors.store.conditions import in_batches
from connectors.store.filter_sql import sql_of
from connectors.store.interface import (
    COSINE,
    EVERY,
    ROW_ID,
    Condition,
    ReadCursor,
    StorePlace,
    TableReader,
    Tables,
    Where,
    WordReader,
)
from connectors.store.lance_words import LanceWords
from connectors.store.store_folder import READ_ERRORS, caches, opened, opened_async, read_latest
from connectors.store.table_keys import key_of
from core.errors import WorldError, first_line

T = TypeVar("T")

_MOST_TABLES: Final = 10_000
DRAFT: Final = ".tmp"
"""Beginning of the names of files that LanceDB has not finished."""
_MISSING: Final = "was not found"
_LAST: Final = "last"
"""Key of a cursor's position: the highest row id read. Row ids only ever grow."""


class LanceTables(Tables):
    """The LanceDB tables in a folder, which need not exist yet."""

    has_one_writer = True
    """Whether a lock excludes other writers."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder)
        self.state = folder
        self._database: Any = None
        self._caches: Any = None

    @classmethod
    def at(cls, place: "Path | LanceTables") -> "LanceTables":
        """Return the tables of a folder, or `place` itself if it is one already."""
        return cls(place) if isinstance(place, Path) else place

    def database(self) -> Any:
        """Return the database, opened once, with caches that all tables share; raises LanceDB's errors."""
        if self._database is None:
            self._caches = caches()
            self._database = opened(self.state, session=self._caches)
        return self._database

    def with_retries(self, do: Callable[[], T]) -> T:
        """Run an operation on a table, with retries where the storage needs them: `do` has to be idempotent."""
        return do()

    def opened(self, table: str) -> Any:
        """Open this writer's table with LanceDB; raises LanceDB's errors."""
        return self.database().open_table(self.own_name(table))

    def drop_drafts(self, table: str, unchanged_seconds: float = 0.0) -> None:
        """Delete temporary files that a killed process left behind, which LanceDB ignores.

        Args:
            table: Name of the table.
            unchanged_seconds: Minimum age of the files to delete; 0 is safe only if nothing writes the table.

        Raises:
            OSError: if a file cannot be deleted.
        """
        latest = time.time() - unchanged_seconds
        for draft in (self.state / f"{table}.lance").rglob(f"{DRAFT}*"):
            with suppress(FileNotFoundError):  # its writer has renamed it meanwhile
                if draft.stat().st_mtime <= latest:
                    draft.unlink()

    def own_name(self, table: str) -> str:
        """Return the name in the database of this writer's table."""
        return table

    def has(self, table: str) -> bool:
        """Check whether a table exists."""
        return (self.state / f"{table}.lance").is_dir()

    def names(self) -> list[str]:
        """Return the names of all tables, corpora included; raises `WorldError`."""
        if not self.state.is_dir():
            return []
        with reading(self.address):
            names: list[str] = self.database().list_tables(limit=_MOST_TABLES).tables
        return names

    def identity(self, table: str) -> Hashable:
        """Return (inode, ctime) of the table's folder: it changes when a table is recreated, and at other times too."""
        try:
            found = (self.state / f"{table}.lance").stat()
        except FileNotFoundError:
            return 0, 0  # opening the table reports the error
        return found.st_ino, found.st_ctime_ns

    def table(self, name: str) -> TableReader:
        """Open a table for reading; raises `WorldError` if it does not exist."""
        with reading(self.address):
            table = self.with_retries(lambda: self.opened(name))
            return LanceTable(self, name, table, partial(opened_async, self.state, table.name, None, self._caches))


class LanceTable(TableReader):
    """Read access to an open LanceDB table.

    Args:
        tables: Tables of the store.
        name: Name of the table.
        opened: The table as opened by LanceDB's synchronous API.
        open_async: Opens the table once more with LanceDB's asynchronous API, for full-text search.
    """

    def __init__(self, tables: LanceTables, name: str, opened: Any, open_async: Callable[[], Awaitable[Any]]) -> None:
        self.name = name
        self.key = key_of(name)
        self._address = tables.address
        self._with_retries = tables.with_retries
        self._table = opened
        self._open_async = open_async
        self._schema: pa.Schema | None = None

    @property
    def schema(self) -> pa.Schema:
        """Return the columns as of the last `refresh`."""
        found = self._schema
        if found is None:  # cached: LanceDB asks another thread each time, for which concurrent readers queue
            found = self._schema = self._table.schema
        return found

    def refresh(self) -> int:
        """Check out the table's latest version and return its number."""
        with reading(self._address):
            self._with_retries(self._table.checkout_latest)
            self._schema = None
            return int(self._table.version)

    def count(self) -> int:
        """Return the number of rows."""
        return self._latest(lambda: int(self._table.count_rows()))

    def batches(
        self, columns: Sequence[str], where: Where = EVERY, *, limit: int | None = None, batch: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows that match a filter; `columns` may include `ROW_ID`."""
        with reading(self._address):
            read = partial(read_latest, lambda: self._query(columns, where, limit).to_batches(batch_size=batch))
            yield from self._with_retries(read)

    def to_arrow(self, columns: Sequence[str], where: Where = EVERY, *, limit: int | None = None) -> pa.Table:
        """Return the rows that match a filter, retrying if the version read was dropped meanwhile."""

        def read() -> pa.Table:
            reader = self._query(columns, where, limit).to_batches()
            return pa.Table.from_batches(reader, reader.schema)

        return self._latest(read)

    def rows(self, keys: Sequence[str], columns: Sequence[str], row_ids: Mapping[str, int] | None = None) -> pa.Table:
        """Look up rows by row id, ten times as fast as by key; those without one, or not found, by key."""
        names = self._existing((self.key, *columns))
        ids = [row_ids[key] for key in dict.fromkeys(keys) if key in row_ids] if row_ids else []

        def taken() -> pa.Table:
            query = self._table.take_row_ids(ids)
            return (query.with_row_id() if ROW_ID in names else query).select(names).to_arrow()

        found = [self._latest(taken)] if ids else []
        known = {key for table in found for key in table.column(self.key).to_pylist()}
        others = [it for it in dict.fromkeys(keys) if it not in known]
        if row_ids is not None and others:
            self.refresh()
        # The limit lets LanceDB stop once all are found: 2 instead of 10 ms for one key among 95 recent writes.
        found += [self.to_arrow(names, [Condition(self.key, "in", it)], limit=len(it)) for it in in_batches(others)]
        return pa.concat_tables(found) if found else self._empty(names)

    def has_index(self, column: str) -> bool:  # noqa: ARG002
        """Return False: LanceDB stores have no vector index, since frequent readers hold the vectors in memory."""
        return False

    def nearest(
        self, column: str, vector: NDArray[np.float32], count: int, columns: Sequence[str], where: Where = EVERY
    ) -> list[dict[str, Any]]:
        """Return the most similar rows by an exhaustive search over those that match the filter."""

        def read() -> list[dict[str, Any]]:
            query = self._table.search(vector, vector_column_name=column).distance_type("cosine").limit(count)
            query = query.where(sql_of([*where, Condition(column, "is not null")]), prefilter=True)
            found: list[dict[str, Any]] = query.select([*self._existing((self.key, *columns)), "_distance"]).to_list()
            return found

        return [{**row, COSINE: 1.0 - row.pop("_distance")} for row in self._latest(read)]

    def words(self, columns: Sequence[str]) -> WordReader:
        """Return a full-text search that uses the indexes, and an in-memory index of rows not in them yet."""
        return LanceWords(self._address, self.key, self._open_async, columns)

    def since(self, seen: ReadCursor, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows with row ids beyond the cursor: new ones, updated ones and ones that a compaction moved."""
        last = seen.position.get(_LAST, -1)
        query = self._query([*columns, ROW_ID], [Condition(ROW_ID, ">", last)] if last >= 0 else EVERY, None)
        with reading(self._address):
            for batch in self._with_retries(partial(read_latest, query.to_batches)):
                if len(batch):
                    yield batch
                    last = max(last, int(batch.column(ROW_ID).to_numpy().max()))
        seen.position[_LAST] = last

    def changed_in_place(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield all rows: LanceDB updates single columns in place without reporting which rows changed."""
        return self.batches([*columns, ROW_ID])

    def _query(self, columns: Sequence[str], where: Where, limit: int | None) -> Any:
        names = self._existing(columns)
        query = self._table.search()
        query = query.with_row_id(True) if ROW_ID in names else query
        query = query.where(sql_of(where)) if where else query
        return (query if limit is None else query.limit(limit)).select(names)

    def _empty(self, names: Sequence[str]) -> pa.Table:
        row_id = pa.field(ROW_ID, pa.uint64())
        return pa.schema([row_id if it == ROW_ID else self.schema.field(it) for it in names]).empty_table()

    def _existing(self, columns: Sequence[str]) -> list[str]:
        names = self.schema.names
        return [it for it in dict.fromkeys(columns) if it in names or it == ROW_ID]

    def _latest(self, read: Callable[[], T]) -> T:
        def again() -> T:
            try:
                return read()
            except READ_ERRORS:  # a compaction may have dropped the version that was read
                self._table.checkout_latest()
                self._schema = None
                raise

        with reading(self._address):
            return self._with_retries(partial(read_latest, again))


def is_missing(error: Exception) -> bool:
    """Check whether LanceDB raised an error because a table does not exist."""
    return _MISSING in str(error)


def tables_of(place: StorePlace) -> Tables:
    """Return the tables of a store that is given by its folder, or `place` itself if it is tables already."""
    return LanceTables(place) if isinstance(place, Path) else place


@contextmanager
def reading(address: str) -> Iterator[None]:
    """Turn LanceDB's errors in the block into a one-line `WorldError`."""
    try:
        yield
    except READ_ERRORS as error:
        raise WorldError(f"{address} cannot be read: {first_line(error)}") from None
