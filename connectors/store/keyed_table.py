"""Tables of a store whose rows have a key: what is written twice is there once."""

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

_LOOSE_SHARE: Final = 0.25
"""What was written since tables were put together, in rows to those before: putting together copies all of them."""
_LEAST_ROWS: Final = 25_000
"""Fewer rows are no reason."""
_UNINDEXED_BYTES: Final = 8 * 2**20
"""A write reads all rows that are not in the index over keys yet, with all of their columns."""
_INDEX_BYTES: Final = 64
"""A row of the table, twice: an index that is made anew leaves the old one behind until tables are put together."""
_LEAST_WRITES: Final = 100
_MOST_WRITES: Final = 250
_ROWS_A_WRITE: Final = 4000
"""Each write adds a fragment and a version, and has to look into all of them: 15 ms among few, 30 ms among 100."""
_DECLARED: Final = b"lance-schema:unenforced-primary-key:position"
"""Metadata of the column that is declared as the key."""
_WRITE_ERRORS: Final = (OSError, RuntimeError, ValueError, TypeError, OverflowError)
"""What LanceDB raises, and Arrow where a row does not fit the columns."""


class KeyedTable:
    """A LanceDB table, one row for each value of its key."""

    def __init__(
        self,
        store: Path | LanceTables,
        name: str,
        key: str,
        schema: pa.Schema,
        newest: str | None = None,
        looked_up: tuple[str, ...] = (),
    ) -> None:
        """Open or create it; raises `WorldError` where it cannot be, or has other columns.

        Args:
            store: Its tables, or its folder.
            name: Of the table.
            key: The column that tells rows apart.
            schema: Its columns.
            newest: A column of numbers: no row is replaced by one that has less there.
            looked_up: Columns that get an index besides the key.
        """
        self._tables = LanceTables.at(store)
        self._name, self._key, self._newest, self._looked_up = name, key, newest, looked_up
        # A row that an earlier version wrote has none.
        self._replaced = newest and f"target.{newest} IS NULL OR source.{newest} >= target.{newest}"
        try:
            self._table = self._tables.patiently(lambda: self._opened(schema))
            # Those of earlier processes count too: one that is often restarted would never put them together.
            statistics = self._table.stats()["fragment_stats"]
            self._writes = int(statistics["num_fragments"])
            self._firm_rows = int(statistics["lengths"]["max"])  # the largest fragment is what was put together
            self._loose_rows = self._unindexed_rows = max(0, self.count() - self._firm_rows)
            self._look_at_rows()
        except (OSError, RuntimeError, ValueError) as error:
            raise WorldError(f"{store} cannot be opened as a store: {first_line(error)}") from None

    def _opened(self, schema: pa.Schema) -> Any:
        """The table in today's shape; whoever is first makes or widens it, and the others wait."""
        database, name = self._tables.database(), self._tables.own_name(self._name)
        with _alone(self._tables.state):
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
                # One new version, there as a whole or not at all: who dies in the middle leaves the old one.
                log.info("the store is widened", table=self._name, rows=table.count_rows())
                rows = copied(table, schema)  # their vectors are of the length that was checked, or null
                return self._with_key(database.create_table(name, rows, mode="overwrite", on_bad_vectors="null"))
            missing = [column for column in schema if column.name not in found.names]
            if missing:
                table.add_columns(missing)
            return self._with_key(table)

    def _with_key(self, table: Any) -> Any:
        """The table with its key declared: of two writers that add the same key at once, LanceDB refuses one."""
        key = table.schema.field(self._key)
        if _DECLARED not in (key.metadata or {}):
            if key.nullable:
                table.alter_columns({"path": self._key, "nullable": False})
            table.set_unenforced_primary_key(self._key)
        return table

    @property
    def schema(self) -> pa.Schema:
        """Of the table as it is there."""
        return self._table.schema

    def upsert(self, rows: list[dict[str, Any]]) -> None:
        """Write rows; of several with one key the newest stays, or the last one. Raises `WorldError`."""
        if self._newest is not None:
            rows = sorted(rows, key=itemgetter(self._newest))
        unique = {row[self._key]: row for row in rows}
        try:
            # In the order of the table that is there, to which columns may have been added.
            table = self._arrow(list(unique.values()))
            merge = self._table.merge_insert(self._key).when_matched_update_all(where=self._replaced)
            merge = merge.when_not_matched_insert_all()
            # The schema fixed the lengths of vectors: only nulls are left.
            self._again(lambda: merge.execute(table, on_bad_vectors="null"))
        except _WRITE_ERRORS as error:
            raise _unwritable(error) from error
        give_back_memory()  # a write reads whole rows, where the index lacks them
        self._writes += 1
        self._loose_rows += len(unique)
        self._unindexed_rows += len(unique)
        if self._is_loose():
            self.compact()
        elif self._has_index and self._unindexed_rows * self._row_bytes >= self._most_unindexed():
            self._index()
        self._count()

    def index_words(self, *columns: str) -> None:
        """Make full-text indexes of columns that lack one; raises `WorldError`.

        Each process of a flow opens the table: whoever is first makes them, and the others wait.
        """
        try:
            with _alone(self._tables.state):
                self._table.checkout_latest()
                self._again(lambda: index_words(self._table, *columns))
        except _WRITE_ERRORS as error:
            raise _unwritable(error) from error

    def change(self, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
        """Change some columns of rows that are there; each row has the key and these. Raises `WorldError`."""
        schema = pa.schema([self._table.schema.field(name) for name in (self._key, *columns)])
        try:
            merge = self._table.merge_insert(self._key).when_matched_update_all()
            self._again(lambda: merge.execute(pa.Table.from_pylist(rows, schema=schema)))
        except _WRITE_ERRORS as error:
            raise _unwritable(error) from error
        self._writes += 1
        self._count()

    def has(self, where: str) -> bool:
        """Whether there is a row that a condition in SQL picks; raises `WorldError`."""
        try:
            return self._again(lambda: bool(self._table.count_rows(where)))
        except _WRITE_ERRORS as error:
            raise WorldError(f"the store cannot be read: {first_line(error)}") from error

    def set_where(self, where: str, values: Mapping[str, Any], columns: Mapping[str, str] | None = None) -> None:
        """Set columns of all rows that a condition in SQL picks, to values or to other columns; raises `WorldError`."""
        try:
            changed = self._again(
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
        """Delete the rows that a condition in SQL picks; old versions hold them until tables are put together.

        Raises `WorldError`.
        """
        try:
            self._again(lambda: self._table.delete(where))
        except _WRITE_ERRORS as error:
            raise _unwritable(error) from error
        self._writes += 1

    def batches(self, columns: tuple[str, ...], where: str) -> Iterator[pa.RecordBatch]:
        """Some columns of the rows that a condition in SQL picks; raises `WorldError`."""
        try:
            yield from self._again(lambda: self._rows_now(columns, where))
        except _WRITE_ERRORS as error:
            raise WorldError(f"the store cannot be read: {first_line(error)}") from error

    def _rows_now(self, columns: tuple[str, ...], where: str) -> list[pa.RecordBatch]:
        if not self._tables.has_one_writer:  # another flow may have written it
            self._table.checkout_latest()
        return list(self._table.search().where(where).select(list(columns)).to_batches())

    def _again(self, do: Callable[[], T]) -> T:
        """What is done to the table, patiently: with its latest version where another flow wrote or compacted it."""
        tries = 0

        def once() -> T:
            nonlocal tries
            tries += 1
            if tries > 1:
                self._table.checkout_latest()
            return do()

        return self._tables.patiently(once)

    def _arrow(self, rows: list[dict[str, Any]]) -> pa.Table:
        """The rows as the columns hold them; a value that its column cannot hold is null, and the log says so."""
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
        """Put fragments together, drop all older versions, bring the index over keys up to date."""
        self._put_together()

    def _put_together(self, *, drop_unfinished: bool = False) -> None:
        try:
            drop = drop_unfinished and self._tables.has_one_writer
            keys = (self._key, *self._looked_up)
            self._again(lambda: compact_files(self._table, *keys, drop_unfinished=drop))
            if drop:
                self._tables.drop_drafts(self._name)
        except _WRITE_ERRORS as error:
            raise _unwritable(error) from error
        self._writes = self._loose_rows = self._unindexed_rows = 0
        self._firm_rows = self.count()
        self._look_at_rows()
        log.debug("table compacted", table=self._name, rows=self._firm_rows)

    def erase(self) -> None:
        """Put the table together so that no file holds what was deleted; raises `WorldError`.

        To be called by its only writer.
        """
        try:
            self._again(lambda: erase_deleted(self._table))
        except _WRITE_ERRORS as error:
            raise _unwritable(error) from error
        self._put_together(drop_unfinished=True)

    def _count(self) -> None:
        """Tell the metrics of a write: what the table holds is estimated, since to look costs as much as to write."""
        if not self._row_bytes:  # the table was empty when it was looked at
            self._look_at_rows()
        rows = self._firm_rows + self._loose_rows
        STORE_WRITES.labels(self._name).inc()
        STORE_FRAGMENTS.labels(self._name).set(self._writes + 1)
        STORE_ROWS.labels(self._name).set(rows)
        STORE_BYTES.labels(self._name).set(rows * self._row_bytes)

    def _index(self) -> None:
        try:
            self._again(lambda: index_keys(self._table, self._key))
        except _WRITE_ERRORS as error:
            raise _unwritable(error) from error
        self._unindexed_rows = 0

    def _most_unindexed(self) -> int:
        return max(_UNINDEXED_BYTES, _INDEX_BYTES * (self._firm_rows + self._loose_rows))

    def _look_at_rows(self) -> None:
        self._has_index = has_index(self._table, self._key)
        self._row_bytes = int(self._table.stats()["total_bytes"]) // max(1, self.count())

    def _is_loose(self) -> bool:
        """Whether it is time: so that files and bytes stay few, and a row is copied some ten times in its life."""
        rows = max(_LEAST_ROWS, _LOOSE_SHARE * self._firm_rows)
        writes = min(_MOST_WRITES, _LEAST_WRITES + self._firm_rows // _ROWS_A_WRITE)
        return self._loose_rows >= rows or self._writes >= writes

    def count(self) -> int:
        """How many rows there are."""
        return int(self._table.count_rows())

    def rows(self) -> list[dict[str, Any]]:
        """All rows, whole: for reports over small tables."""
        rows: list[dict[str, Any]] = self._table.to_arrow().to_pylist()
        return rows


def _alone(folder: Path) -> AbstractContextManager[int]:
    """One process at a time: of two that make the table at once, one would fail or overwrite the other's."""
    folder.mkdir(parents=True, exist_ok=True)
    return locked(folder)


def _unwritable(error: Exception) -> WorldError:
    return WorldError(f"the store cannot be written: {first_line(error)}")
