"""LanceDB tables with a primary key, written by idempotent upserts."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeVar

import pyarrow as pa

from connectors.store.arrow_schema import with_custom
from connectors.store.lance_tables import LanceTables, is_missing
from connectors.store.table_maintenance import compact_files, erase_deleted, has_index, index_keys, index_words
from connectors.store.widening import check_widenable, copied, needs_copy
from core.errors import WorldError, first_line
from core.locks import locked
from core.memory import give_back_memory
from core.telemetry import STORE_BYTES, STORE_FRAGMENTS, STORE_ROWS, STORE_WRITES, log
from core.untrusted_text import shortened

T = TypeVar("T")

_UNCOMPACTED_SHARE: Final = 0.25
"""Compact when the rows written since the last compaction exceed this share of the compacted ones: it copies all."""
_LEAST_ROWS: Final = 25_000
"""Fewer rows than this do not trigger a compaction."""
_UNINDEXED_BYTES: Final = 8 * 2**20
"""Limit for rows outside the key index: every upsert reads all of them, with all columns."""
_INDEX_BYTES: Final = 64
"""Index bytes per row of the table, twice: rebuilding an index leaves the old one behind until a compaction."""
_LEAST_WRITES: Final = 100
_MOST_WRITES: Final = 250
_ROWS_A_WRITE: Final = 4000
"""Each write adds a fragment and a version, and has to read all of them: 15 ms with a few, 30 ms with 100."""
_DECLARED: Final = b"lance-schema:unenforced-primary-key:position"
"""Metadata of the column that is declared as the primary key."""
_WRITE_ERRORS: Final = (OSError, RuntimeError, ValueError, TypeError, OverflowError)
"""Errors of LanceDB, and of Arrow for a row that does not fit the columns."""


class KeyedTable:
    """A LanceDB table with one row per key, compacted and indexed as it grows."""

    def __init__(
        self,
        store: Path | LanceTables,
        name: str,
        key: str,
        schema: pa.Schema,
        newest: str | None = None,
        looked_up: tuple[str, ...] = (),
    ) -> None:
        """Open the table, creating it or adding missing columns first.

        Args:
            store: The store's tables, or its folder.
            name: Name of the table.
            key: Primary-key column.
            schema: Columns the table should have.
            newest: Numeric revision column: a row never replaces one with a higher value.
            looked_up: Columns that get an index besides the key.

        Raises:
            WorldError: if the table cannot be opened, or has other columns.
        """
        self._tables = LanceTables.at(store)
        self._name, self._key, self._newest, self._looked_up = name, key, newest, looked_up
        # Rows written by an earlier version of memewax have no revision.
        self._replaced = newest and f"target.{newest} IS NULL OR source.{newest} >= target.{newest}"
        try:
            self._table = self._tables.with_retries(lambda: self._opened(schema))
            # Count writes of earlier processes too: one that is often restarted would otherwise never compact.
            statistics = self._table.stats()["fragment_stats"]
            self._writes = int(statistics["num_fragments"])
            self._compacted_rows = int(statistics["lengths"]["max"])  # the largest fragment is the compacted one
            self._uncompacted_rows = self._unindexed_rows = max(0, self.count() - self._compacted_rows)
            self._measure_rows()
        except (OSError, RuntimeError, ValueError) as error:
            raise WorldError(f"{store} cannot be opened as a store: {first_line(error)}") from None

    def _opened(self, schema: pa.Schema) -> Any:
        """Open the table with today's columns. The first process creates or widens it while the others wait."""
        database, name = self._tables.database(), self._tables.own_name(self._name)
        with _locked(self._tables.state):
            try:
                table = database.open_table(name)
            except ValueError as error:
                if not is_missing(error):
                    raise
                return self._with_key(database.create_table(name, schema=schema))
            found = table.schema
            schema = with_custom(found, schema)
            check_widenable(f"{self._tables} holds a table {self._name!r}", found, schema)
            if needs_copy(found, schema):
                # Overwriting commits one new version atomically: a crash midway leaves the old one.
                log.info("the store is widened", table=self._name, rows=table.count_rows())
                rows = copied(table, schema)  # vectors have the length checked above, or are null
                return self._with_key(database.create_table(name, rows, mode="overwrite", on_bad_vectors="null"))
            missing = [column for column in schema if column.name not in found.names]
            if missing:
                table.add_columns(missing)
            return self._with_key(table)

    def _with_key(self, table: Any) -> Any:
        """Declare the table's primary key: of two writers that insert the same key at once, LanceDB rejects one."""
        key = table.schema.field(self._key)
        if _DECLARED not in (key.metadata or {}):
            if key.nullable:
                table.alter_columns({"path": self._key, "nullable": False})
            table.set_unenforced_primary_key(self._key)
        return table

    @property
    def schema(self) -> pa.Schema:
        """Return the columns of the existing table, custom columns included."""
        return self._table.schema

    def upsert(self, rows: list[dict[str, Any]]) -> None:
        """Insert rows, replacing those with the same key; the newest revision wins, or the last row without revisions.

        May compact the table or rebuild its key index afterwards.

        Raises:
            WorldError: if the table cannot be written.
        """
        if self._newest is not None:
            rows = sorted(rows, key=itemgetter(self._newest))
        unique = {row[self._key]: row for row in rows}
        try:
            # Use the column order of the existing table, to which columns may have been added.
            table = self._arrow(list(unique.values()))
            merge = self._table.merge_insert(self._key).when_matched_update_all(where=self._replaced)
            merge = merge.when_not_matched_insert_all()
            # The schema already enforces the lengths of vectors: the only "bad" ones left are nulls.
            self._retried(lambda: merge.execute(table, on_bad_vectors="null"))
        except _WRITE_ERRORS as error:
            raise _unwritable(error) from error
        give_back_memory()  # an upsert reads whole rows that are outside the index
        self._writes += 1
        self._uncompacted_rows += len(unique)
        self._unindexed_rows += len(unique)
        if self._needs_compaction():
            self.compact()
        elif self._has_index and self._unindexed_rows * self._row_bytes >= self._most_unindexed():
            self._index()
        self._count()

    def index_words(self, *columns: str) -> None:
        """Create full-text indexes for columns that lack one; raises `WorldError`.

        Each process of a flow opens the table: the first one creates them while the others wait.
        """
        try:
            with _locked(self._tables.state):
                self._table.checkout_latest()
                self._retried(lambda: index_words(self._table, *columns))
        except _WRITE_ERRORS as error:
            raise _unwritable(error) from error

    def change(self, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
        """Update some columns of existing rows; raises `WorldError`.

        Args:
            rows: For each row its key and the new values; unknown keys are ignored.
            columns: Columns to update.
        """
        schema = pa.schema([self._table.schema.field(name) for name in (self._key, *columns)])
        try:
            merge = self._table.merge_insert(self._key).when_matched_update_all()
            self._retried(lambda: merge.execute(pa.Table.from_pylist(rows, schema=schema)))
        except _WRITE_ERRORS as error:
            raise _unwritable(error) from error
        self._writes += 1
        self._count()

    def has(self, where: str) -> bool:
        """Check whether any row matches an SQL condition; raises `WorldError`."""
        try:
            return self._retried(lambda: bool(self._table.count_rows(where)))
        except _WRITE_ERRORS as error:
            raise WorldError(f"the store cannot be read: {first_line(error)}") from error

    def update_where(self, where: str, values: Mapping[str, Any], columns: Mapping[str, str] | None = None) -> None:
        """Update columns of all rows that match an SQL condition; raises `WorldError`.

        Args:
            where: SQL condition.
            values: New value of each column.
            columns: For each column, the SQL expression (such as another column) it is set to.
        """
        try:
            changed = self._retried(
                lambda: self._table.update(
                    where=where, values=dict(values) or None, values_sql=dict(columns or {}) or None
                )
            )
        except _WRITE_ERRORS as error:
            raise _unwritable(error) from error
        if changed.rows_updated > 0:
            self._writes += 1
            self._count()

    def delete_where(self, where: str) -> None:
        """Delete the rows that match an SQL condition; older versions hold them until a compaction.

        Raises:
            WorldError: if the table cannot be written.
        """
        try:
            self._retried(lambda: self._table.delete(where))
        except _WRITE_ERRORS as error:
            raise _unwritable(error) from error
        self._writes += 1

    def batches(self, columns: tuple[str, ...], where: str) -> Iterator[pa.RecordBatch]:
        """Yield some columns of the rows that match an SQL condition; raises `WorldError`."""
        try:
            yield from self._retried(lambda: self._rows_now(columns, where))
        except _WRITE_ERRORS as error:
            raise WorldError(f"the store cannot be read: {first_line(error)}") from error

    def _rows_now(self, columns: tuple[str, ...], where: str) -> list[pa.RecordBatch]:
        if not self._tables.has_one_writer:  # another flow may have written a newer version
            self._table.checkout_latest()
        return list(self._table.search().where(where).select(list(columns)).to_batches())

    def _retried(self, do: Callable[[], T]) -> T:
        """Run an operation with retries, each on the table's latest version: another flow may have written it."""
        tries = 0

        def once() -> T:
            nonlocal tries
            tries += 1
            if tries > 1:
                self._table.checkout_latest()
            return do()

        return self._tables.with_retries(once)

    def _arrow(self, rows: list[dict[str, Any]]) -> pa.Table:
        """Convert rows to Arrow; a value that does not fit its column becomes null and is logged."""
        schema = self._table.schema
        try:
            return pa.Table.from_pylist(rows, schema=schema)
        except (pa.ArrowException, ValueError, TypeError, OverflowError):
            return pa.Table.from_pylist([self._storable(row, schema) for row in rows], schema=schema)

    def _storable(self, row: dict[str, Any], schema: pa.Schema) -> dict[str, Any]:
        kept = dict(row)
        for field in schema:
            try:
                pa.array([row.get(field.name)], field.type)
            except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
                if field.name == self._key:
                    raise
                kept[field.name] = None
                log.warning(
                    "a value cannot be stored and is left out",
                    table=self._name,
                    column=field.name,
                    error=shortened(first_line(error), 200),
                    **{self._key: row[self._key]},
                )
        return kept

    def compact(self) -> None:
        """Compact fragments, drop all older versions and update the indexes; raises `WorldError`."""
        self._compact()

    def _compact(self, *, drop_unfinished: bool = False) -> None:
        try:
            drop = drop_unfinished and self._tables.has_one_writer
            keys = (self._key, *self._looked_up)
            self._retried(lambda: compact_files(self._table, *keys, drop_unfinished=drop))
            if drop:
                self._tables.drop_drafts(self._name)
        except _WRITE_ERRORS as error:
            raise _unwritable(error) from error
        self._writes = self._uncompacted_rows = self._unindexed_rows = 0
        self._compacted_rows = self.count()
        self._measure_rows()
        log.debug("table compacted", table=self._name, rows=self._compacted_rows)

    def erase(self) -> None:
        """Compact the table so that no file holds deleted rows; raises `WorldError`.

        Only the table's single writer may call it.
        """
        try:
            self._retried(lambda: erase_deleted(self._table))
        except _WRITE_ERRORS as error:
            raise _unwritable(error) from error
        self._compact(drop_unfinished=True)

    def _count(self) -> None:
        """Update metrics after a write. Rows and bytes are estimates, since counting costs as much as a write."""
        if not self._row_bytes:  # the table was empty when its rows were last measured
            self._measure_rows()
        rows = self._compacted_rows + self._uncompacted_rows
        STORE_WRITES.labels(self._name).inc()
        STORE_FRAGMENTS.labels(self._name).set(self._writes + 1)
        STORE_ROWS.labels(self._name).set(rows)
        STORE_BYTES.labels(self._name).set(rows * self._row_bytes)

    def _index(self) -> None:
        try:
            self._retried(lambda: index_keys(self._table, self._key))
        except _WRITE_ERRORS as error:
            raise _unwritable(error) from error
        self._unindexed_rows = 0

    def _most_unindexed(self) -> int:
        return max(_UNINDEXED_BYTES, _INDEX_BYTES * (self._compacted_rows + self._uncompacted_rows))

    def _measure_rows(self) -> None:
        self._has_index = has_index(self._table, self._key)
        self._row_bytes = int(self._table.stats()["total_bytes"]) // max(1, self.count())

    def _needs_compaction(self) -> bool:
        """Check whether a compaction is due: files and bytes stay few, yet a row is copied only some ten times."""
        rows = max(_LEAST_ROWS, _UNCOMPACTED_SHARE * self._compacted_rows)
        writes = min(_MOST_WRITES, _LEAST_WRITES + self._compacted_rows // _ROWS_A_WRITE)
        return self._uncompacted_rows >= rows or self._writes >= writes

    def count(self) -> int:
        """Return the number of rows."""
        return int(self._table.count_rows())

    def rows(self) -> list[dict[str, Any]]:
        """Return all rows with all columns; for reports over small tables."""
        rows: list[dict[str, Any]] = self._table.to_arrow().to_pylist()
        return rows


def _locked(folder: Path) -> AbstractContextManager[int]:
    """Lock out other processes: of two that create a table at once, one would fail or overwrite the other's."""
    folder.mkdir(parents=True, exist_ok=True)
    return locked(folder)


def _unwritable(error: Exception) -> WorldError:
    return WorldError(f"the store cannot be written: {first_line(error)}")
