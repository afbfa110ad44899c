"""A merged view of the tables of several writers: if two have the same key, the highest revision wins."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from connectors.store.interface import COSINE, EVERY, ROW_ID, ReadCursor, TableReader, Where, WordQuery, WordReader

_TABLE_BITS: Final = 56
"""Bits of a row id below the number of its table; LanceDB's own row ids need fewer."""
_IN_TABLE: Final = (1 << _TABLE_BITS) - 1
_NEWEST: Final = ("revision", "joined_time")
"""Columns that decide which of two rows is newer."""


class MergedTable(TableReader):
    """A merged view of one table per writer.

    Args:
        tables: The writers' tables, 1 to 127.
    """

    def __init__(self, tables: Sequence[TableReader]) -> None:
        self.name, self.key = tables[0].name, tables[0].key
        self._tables = list(tables)
        self._version: Hashable = None
        self._superseded: list[pa.Array] = []
        """For each table, the keys of rows of which another table has a newer one."""

    @property
    def schema(self) -> pa.Schema:
        """Return the union of the tables' columns."""
        return pa.unify_schemas([it.schema.remove_metadata() for it in self._tables[1:]] + [self._tables[0].schema])

    def refresh(self) -> Hashable:
        """Refresh all tables and return their versions."""
        version = tuple(it.refresh() for it in self._tables)
        if version != self._version:
            self._superseded = self._find_superseded()
            self._version = version
        return version

    def count(self) -> int:
        """Return the number of distinct keys."""
        self._ensure_refreshed()
        return sum(it.count() for it in self._tables) - sum(map(len, self._superseded))

    def batches(
        self, columns: Sequence[str], where: Where = EVERY, *, limit: int | None = None, batch: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of each table, without superseded ones."""
        self._ensure_refreshed()
        schema = self._schema_of(columns)
        left = limit
        for number, table in enumerate(self._tables):
            most = None if left is None else left + len(self._superseded[number])
            for found in table.batches([self.key, *columns], where, limit=most, batch=batch):
                kept = _conformed(self._kept(number, found), schema)
                if left is not None:
                    kept = kept.slice(0, left)
                    left -= len(kept)
                yield kept
                if left == 0:
                    return

    def to_arrow(self, columns: Sequence[str], where: Where = EVERY, *, limit: int | None = None) -> pa.Table:
        """Return what `batches` yields as one table in memory."""
        return pa.Table.from_batches(list(self.batches(columns, where, limit=limit)), self._schema_of(columns))

    def rows(self, keys: Sequence[str], columns: Sequence[str], row_ids: Mapping[str, int] | None = None) -> pa.Table:
        """Look rows up by row id in the table that the id names, and by key in all tables."""
        self._ensure_refreshed()
        schema = self._schema_of([self.key, *columns])
        found: list[pa.RecordBatch] = []
        at = row_ids or {}
        for number, table in enumerate(self._tables):
            own = {it: at[it] & _IN_TABLE for it in keys if it in at and at[it] >> _TABLE_BITS == number}
            wanted = [it for it in keys if it in own or it not in at]
            there = table.rows(wanted, columns, own) if wanted else None
            batches = there.to_batches() if there is not None else ()
            found += [_conformed(self._kept(number, it), schema) for it in batches]
        known = {key for it in found for key in it.column(self.key).to_pylist()}
        if row_ids and (others := [it for it in keys if it not in known]):  # they may have moved to other tables
            self.refresh()
            return pa.concat_tables([pa.Table.from_batches(found, schema), self.rows(others, columns)])
        return pa.Table.from_batches(found, schema)

    def has_index(self, column: str) -> bool:
        """Check whether all tables have a vector index over a column."""
        return all(it.has_index(column) for it in self._tables)

    def nearest(
        self, column: str, vector: NDArray[np.float32], count: int, columns: Sequence[str], where: Where = EVERY
    ) -> list[dict[str, Any]]:
        """Return the most similar rows of all tables."""
        self._ensure_refreshed()
        found: list[dict[str, Any]] = []
        for table, superseded in zip(self._tables, self._superseded, strict=True):
            gone = set(superseded.to_pylist())
            most = count + len(gone)
            found += [it for it in table.nearest(column, vector, most, columns, where) if it[self.key] not in gone]
        return sorted(found, key=lambda it: (-it[COSINE], it[self.key]))[:count]

    def words(self, columns: Sequence[str]) -> WordReader:
        """Return a full-text search over all tables, whose BM25 scores are compared without normalisation."""
        return _MergedWords(self, [it.words(columns) for it in self._tables])

    def since(self, seen: ReadCursor, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the new and changed rows of each table, without superseded ones."""
        self._ensure_refreshed()
        schema = self._schema_of([self.key, *columns, ROW_ID])
        for number, table in enumerate(self._tables):
            prefix = f"{number}."
            own = ReadCursor({it.removeprefix(prefix): at for it, at in seen.position.items() if it.startswith(prefix)})
            for found in table.since(own, [self.key, *columns]):
                yield _conformed(self._kept(number, found), schema)
            seen.position |= {f"{prefix}{it}": at for it, at in own.position.items()}

    def changed_in_place(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of each table that may have changed in place, without superseded ones."""
        schema = self._schema_of([*columns, ROW_ID])
        for number, table in enumerate(self._tables):
            for found in table.changed_in_place([self.key, *columns]):
                yield _conformed(self._kept(number, found), schema)

    def superseded(self) -> list[set[str]]:
        """Return, for each table, the keys of rows of which another table has a newer one."""
        self._ensure_refreshed()
        return [set(it.to_pylist()) for it in self._superseded]

    def _ensure_refreshed(self) -> None:
        if self._version is None:
            self.refresh()

    def _kept(self, number: int, found: pa.RecordBatch) -> pa.RecordBatch:
        """Return a batch of a table without superseded rows, its row ids prefixed with the table's number."""
        if len(superseded := self._superseded[number]) and len(found):
            found = found.filter(pc.invert(pc.is_in(found.column(self.key), superseded)))
        if ROW_ID in found.schema.names:
            at = found.schema.names.index(ROW_ID)
            row_ids = found.column(at).to_numpy() + np.uint64(number << _TABLE_BITS)
            found = found.set_column(at, ROW_ID, pa.array(row_ids, pa.uint64()))
        return found

    def _schema_of(self, columns: Sequence[str]) -> pa.Schema:
        there = self.schema
        row_id = pa.field(ROW_ID, pa.uint64())
        names = [it for it in dict.fromkeys(columns) if it == ROW_ID or it in there.names]
        return pa.schema([row_id if it == ROW_ID else there.field(it) for it in names])

    def _find_superseded(self) -> list[pa.Array]:
        """Return, for each table, its superseded keys; of equal revisions the one in the last table wins."""
        versions = [it.to_arrow([self.key, *_NEWEST]) for it in self._tables]
        type_ = versions[0].schema.field(self.key).type
        keys = pa.chunked_array([it for one in versions for it in one.column(self.key).chunks], type_)
        counted = keys.value_counts()
        doubled = counted.field("values").filter(pc.greater(counted.field("counts"), 1))
        rows: dict[Any, list[tuple[int, str, int]]] = {}
        for number, one in enumerate(versions):
            for row in one.filter(pc.is_in(one.column(self.key), doubled)).to_pylist():
                newest = row.get("revision") or 1, row.get("joined_time") or "", number
                rows.setdefault(row[self.key], []).append(newest)
        gone: list[list[Any]] = [[] for _ in versions]
        for key, those in rows.items():
            for *_, number in sorted(those)[:-1]:
                gone[number].append(key)
        return [pa.array(it, keys.type) for it in gone]


class _MergedWords(WordReader):
    """Full-text search over the tables of several writers."""

    def __init__(self, table: MergedTable, words: Sequence[WordReader]) -> None:
        self._table = table
        self._words = words

    def refresh(self) -> bool:
        """Refresh all tables; return whether each has full-text indexes."""
        self._table.refresh()
        have_indexes = [it.refresh() for it in self._words]  # a list, so that `all` does not skip any
        return all(have_indexes)

    def find(self, queries: Sequence[WordQuery], most: int) -> list[list[tuple[str, float]]]:
        """Return the best rows of all tables for each query."""
        found: list[list[tuple[str, float]]] = [[] for _ in queries]
        for words, gone in zip(self._words, self._table.superseded(), strict=True):
            for those, some in zip(found, words.find(queries, most), strict=True):
                those += [it for it in some if it[0] not in gone]
        return [sorted(those, key=lambda it: (-it[1], it[0]))[:most] for those in found]


def _conformed(found: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Return a batch with the columns of `schema`; missing ones are null."""
    there = set(found.schema.names)
    columns = [found.column(it.name) if it.name in there else pa.nulls(len(found), it.type) for it in schema]
    return pa.record_batch(columns, schema=schema)
