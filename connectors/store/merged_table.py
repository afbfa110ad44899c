"""Tables of several writers as one: of an id that is in two of them, the highest revision counts."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from connectors.store.interface import COSINE, EVERY, PLACE, Seen, TableReader, Where, WordQuery, WordReader

_TABLE_BITS: Final = 56
"""Of a place: from these bits on it says in which of the tables the row is; LanceDB's own places are smaller."""
_IN_TABLE: Final = (1 << _TABLE_BITS) - 1
_NEWEST: Final = ("revision", "joined_time")
"""Columns that say which of two rows is newer."""


class MergedTable(TableReader):
    """A table that several writers have one each of.

    Args:
        tables: At least one; fewer than 128.
    """

    def __init__(self, tables: Sequence[TableReader]) -> None:
        self.name, self.key = tables[0].name, tables[0].key
        self._tables = list(tables)
        self._version: Hashable = None
        self._beaten: list[pa.Array] = []
        """Of each table, keys of rows that are newer in another one."""

    @property
    def schema(self) -> pa.Schema:
        """The columns of all of them."""
        return pa.unify_schemas([it.schema.remove_metadata() for it in self._tables[1:]] + [self._tables[0].schema])

    def refresh(self) -> Hashable:
        """The versions of all."""
        version = tuple(it.refresh() for it in self._tables)
        if version != self._version:
            self._beaten = self._compared()
            self._version = version
        return version

    def count(self) -> int:
        """Rows, those that are in several counted once."""
        self._look()
        return sum(it.count() for it in self._tables) - sum(map(len, self._beaten))

    def batches(
        self, columns: Sequence[str], where: Where = EVERY, *, limit: int | None = None, batch: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Those of each table, less what is newer in another one."""
        self._look()
        schema = self._schema_of(columns)
        left = limit
        for number, table in enumerate(self._tables):
            most = None if left is None else left + len(self._beaten[number])
            for found in table.batches([self.key, *columns], where, limit=most, batch=batch):
                kept = _fitted(self._kept(number, found), schema)
                if left is not None:
                    kept = kept.slice(0, left)
                    left -= len(kept)
                yield kept
                if left == 0:
                    return

    def whole(self, columns: Sequence[str], where: Where = EVERY, *, limit: int | None = None) -> pa.Table:
        """The same at once."""
        return pa.Table.from_batches(list(self.batches(columns, where, limit=limit)), self._schema_of(columns))

    def rows(self, keys: Sequence[str], columns: Sequence[str], places: Mapping[str, int] | None = None) -> pa.Table:
        """By places in the tables that these say, and by keys in all."""
        self._look()
        schema = self._schema_of([self.key, *columns])
        found: list[pa.RecordBatch] = []
        at = places or {}
        for number, table in enumerate(self._tables):
            own = {it: at[it] & _IN_TABLE for it in keys if it in at and at[it] >> _TABLE_BITS == number}
            wanted = [it for it in keys if it in own or it not in at]
            there = table.rows(wanted, columns, own) if wanted else None
            batches = there.to_batches() if there is not None else ()
            found += [_fitted(self._kept(number, it), schema) for it in batches]
        known = {key for it in found for key in it.column(self.key).to_pylist()}
        if places and (others := [it for it in keys if it not in known]):  # their tables may be others by now
            self.refresh()
            return pa.concat_tables([pa.Table.from_batches(found, schema), self.rows(others, columns)])
        return pa.Table.from_batches(found, schema)

    def has_index(self, column: str) -> bool:
        """Whether each of them has."""
        return all(it.has_index(column) for it in self._tables)

    def nearest(
        self, column: str, vector: NDArray[np.float32], count: int, columns: Sequence[str], where: Where = EVERY
    ) -> list[dict[str, Any]]:
        """The nearest of those of each table."""
        self._look()
        found: list[dict[str, Any]] = []
        for table, beaten in zip(self._tables, self._beaten, strict=True):
            gone = set(beaten.to_pylist())
            most = count + len(gone)
            found += [it for it in table.nearest(column, vector, most, columns, where) if it[self.key] not in gone]
        return sorted(found, key=lambda it: (-it[COSINE], it[self.key]))[:count]

    def words(self, columns: Sequence[str]) -> WordReader:
        """Those of each table; scores of several tables are compared as they are."""
        return _MergedWords(self, [it.words(columns) for it in self._tables])

    def since(self, seen: Seen, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """What is new or changed in each of them, less what is newer in another one."""
        self._look()
        schema = self._schema_of([self.key, *columns, PLACE])
        for number, table in enumerate(self._tables):
            prefix = f"{number}."
            own = Seen({it.removeprefix(prefix): at for it, at in seen.position.items() if it.startswith(prefix)})
            for found in table.since(own, [self.key, *columns]):
                yield _fitted(self._kept(number, found), schema)
            seen.position |= {f"{prefix}{it}": at for it, at in own.position.items()}

    def changed_in_place(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Those of each table."""
        schema = self._schema_of([*columns, PLACE])
        for number, table in enumerate(self._tables):
            for found in table.changed_in_place([self.key, *columns]):
                yield _fitted(self._kept(number, found), schema)

    def beaten(self) -> list[set[str]]:
        """Of each table, keys of rows that are newer in another one."""
        self._look()
        return [set(it.to_pylist()) for it in self._beaten]

    def _look(self) -> None:
        if self._version is None:
            self.refresh()

    def _kept(self, number: int, found: pa.RecordBatch) -> pa.RecordBatch:
        """A batch of a table without what is newer in another, and with places that say in which table they are."""
        if len(beaten := self._beaten[number]) and len(found):
            found = found.filter(pc.invert(pc.is_in(found.column(self.key), beaten)))
        if PLACE in found.schema.names:
            at = found.schema.names.index(PLACE)
            places = found.column(at).to_numpy() + np.uint64(number << _TABLE_BITS)
            found = found.set_column(at, PLACE, pa.array(places, pa.uint64()))
        return found

    def _schema_of(self, columns: Sequence[str]) -> pa.Schema:
        there = self.schema
        place = pa.field(PLACE, pa.uint64())
        names = [it for it in dict.fromkeys(columns) if it == PLACE or it in there.names]
        return pa.schema([place if it == PLACE else there.field(it) for it in names])

    def _compared(self) -> list[pa.Array]:
        """Keys of each table that another has too, in a newer revision; of two alike the later one stays."""
        told = [it.whole([self.key, *_NEWEST]) for it in self._tables]
        type_ = told[0].schema.field(self.key).type
        keys = pa.chunked_array([it for one in told for it in one.column(self.key).chunks], type_)
        counted = keys.value_counts()
        doubled = counted.field("values").filter(pc.greater(counted.field("counts"), 1))
        rows: dict[Any, list[tuple[int, str, int]]] = {}
        for number, one in enumerate(told):
            for row in one.filter(pc.is_in(one.column(self.key), doubled)).to_pylist():
                newest = row.get("revision") or 1, row.get("joined_time") or "", number
                rows.setdefault(row[self.key], []).append(newest)
        gone: list[list[Any]] = [[] for _ in told]
        for key, those in rows.items():
            for *_, number in sorted(those)[:-1]:
                gone[number].append(key)
        return [pa.array(it, keys.type) for it in gone]


class _MergedWords(WordReader):
    def __init__(self, table: MergedTable, words: Sequence[WordReader]) -> None:
        self._table = table
        self._words = words

    def refresh(self) -> bool:
        """Of all of them; whether each has full-text indexes."""
        self._table.refresh()
        have_indexes = [it.refresh() for it in self._words]  # each of them, whatever the others say
        return all(have_indexes)

    def find(self, queries: Sequence[WordQuery], most: int) -> list[list[tuple[str, float]]]:
        """The best of each."""
        found: list[list[tuple[str, float]]] = [[] for _ in queries]
        for words, gone in zip(self._words, self._table.beaten(), strict=True):
            for those, some in zip(found, words.find(queries, most), strict=True):
                those += [it for it in some if it[0] not in gone]
        return [sorted(those, key=lambda it: (-it[1], it[0]))[:most] for those in found]


def _fitted(found: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """A batch in the columns of all tables: those that its own does not have are null."""
    there = set(found.schema.names)
    columns = [found.column(it.name) if it.name in there else pa.nulls(len(found), it.type) for it in schema]
    return pa.record_batch(columns, schema=schema)
