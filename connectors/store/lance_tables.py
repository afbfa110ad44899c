"""The tables of LanceDB in a folder, as their readers see them."""

import time
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from connectors.store.conditions import pieces
from connectors.store.filter_sql import sql_of
from connectors.store.interface import (
    COSINE,
    EVERY,
    PLACE,
    Condition,
    Seen,
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

_KEYS: Final = 500
"""In one condition."""
_MOST_TABLES: Final = 10_000
_MISSING: Final = "was not found"
_LAST: Final = "last"
"""Of what was seen: the highest place. Places only ever grow."""


class LanceTables(Tables):
    """The tables in a folder, which need not be there yet."""

    has_one_writer = True
    """Whether nobody else can write them at the same time."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder)
        self.state = folder
        self._database: Any = None
        self._caches: Any = None

    @classmethod
    def at(cls, place: "Path | LanceTables") -> "LanceTables":
        """Those of a folder; what is some already stays."""
        return cls(place) if isinstance(place, Path) else place

    def database(self) -> Any:
        """The database, with caches that all tables share; raises what LanceDB raises."""
        if self._database is None:
            self._caches = caches()
            self._database = opened(self.state, session=self._caches)
        return self._database

    def patiently(self, do: Callable[[], T]) -> T:
        """What is done to a table or read of it; it may be done again, so it has to come to the same done twice."""
        return do()

    def opened(self, table: str) -> Any:
        """A table that is written here, as LanceDB opens it; raises what LanceDB raises."""
        return self.database().open_table(self.own_name(table))

    def drop_drafts(self, table: str, unchanged_seconds: float = 0.0) -> None:
        """Delete what a process left that was killed amid writing a file of a table: LanceDB looks at none of that.

        To be called where nobody writes the table, or for drafts that nobody writes any more. Raises `OSError`.
        """
        latest = time.time() - unchanged_seconds
        for draft in (self.state / f"{table}.lance").rglob(".tmp*"):
            with suppress(FileNotFoundError):  # it has its name by now
                if draft.stat().st_mtime <= latest:
                    draft.unlink()

    def own_name(self, table: str) -> str:
        """What a table that is written here is called in the database."""
        return table

    def has(self, table: str) -> bool:
        """Whether there is a table."""
        return (self.state / f"{table}.lance").is_dir()

    def names(self) -> list[str]:
        """All tables, of corpora too; raises `WorldError`."""
        if not self.state.is_dir():
            return []
        with reading(self.address):
            names: list[str] = self.database().list_tables(limit=_MOST_TABLES).tables
        return names

    def identity(self, table: str) -> Hashable:
        """What differs where the folder of a table is another one; at times also where it is not."""
        try:
            found = (self.state / f"{table}.lance").stat()
        except FileNotFoundError:
            return 0, 0  # opening it will tell
        return found.st_ino, found.st_ctime_ns

    def table(self, name: str) -> TableReader:
        """A table; raises `WorldError` where there is none."""
        with reading(self.address):
            table = self.patiently(lambda: self.opened(name))
            return LanceTable(self, name, table, partial(opened_async, self.state, table.name, None, self._caches))


class LanceTable(TableReader):
    """A table that is open.

    Args:
        tables: Of the store.
        name: Of the table.
        opened: The table, as LanceDB opens it.
        open_async: Opens it once more, as LanceDB's asynchronous interface has it.
    """

    def __init__(self, tables: LanceTables, name: str, opened: Any, open_async: Callable[[], Awaitable[Any]]) -> None:
        self.name = name
        self.key = key_of(name)
        self._address = tables.address
        self._patiently = tables.patiently
        self._table = opened
        self._open_async = open_async
        self._schema: pa.Schema | None = None

    @property
    def schema(self) -> pa.Schema:
        """Of the table as it was last looked at."""
        found = self._schema
        if found is None:  # LanceDB asks another thread each time, for which readers wait where many are busy
            found = self._schema = self._table.schema
        return found

    def refresh(self) -> int:
        """Its latest version."""
        with reading(self._address):
            self._patiently(self._table.checkout_latest)
            self._schema = None
            return int(self._table.version)

    def count(self) -> int:
        """How many rows there are."""
        return self._latest(lambda: int(self._table.count_rows()))

    def batches(
        self, columns: Sequence[str], where: Where = EVERY, *, limit: int | None = None, batch: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Some columns of the rows that a filter lets through; `PLACE` may be among them."""
        with reading(self._address):
            read = partial(read_latest, lambda: self._query(columns, where, limit).to_batches(batch_size=batch))
            yield from self._patiently(read)

    def whole(self, columns: Sequence[str], where: Where = EVERY, *, limit: int | None = None) -> pa.Table:
        """The same, read again where that fails since a version has gone."""

        def read() -> pa.Table:
            reader = self._query(columns, where, limit).to_batches()
            return pa.Table.from_batches(reader, reader.schema)

        return self._latest(read)

    def rows(self, keys: Sequence[str], columns: Sequence[str], places: Mapping[str, int] | None = None) -> pa.Table:
        """By places, which takes a tenth of the time; then by keys those that are not there."""
        names = self._there((self.key, *columns))
        known_places = [places[key] for key in dict.fromkeys(keys) if key in places] if places else []

        def taken() -> pa.Table:
            query = self._table.take_row_ids(known_places)
            return (query.with_row_id() if PLACE in names else query).select(names).to_arrow()

        found = [self._latest(taken)] if known_places else []
        known = {key for table in found for key in table.column(self.key).to_pylist()}
        others = [it for it in dict.fromkeys(keys) if it not in known]
        if places is not None and others:
            self.refresh()
        # A limit lets LanceDB stop where all are found: of one key among 95 recent writes that took 2 of 10 ms.
        found += [self.whole(names, [Condition(self.key, "in", it)], limit=len(it)) for it in pieces(others, _KEYS)]
        return pa.concat_tables(found) if found else self._none(names)

    def has_index(self, column: str) -> bool:  # noqa: ARG002
        """None is made: a reader that asks often holds vectors in memory."""
        return False

    def nearest(
        self, column: str, vector: NDArray[np.float32], count: int, columns: Sequence[str], where: Where = EVERY
    ) -> list[dict[str, Any]]:
        """All rows that the filter lets through are compared."""

        def read() -> list[dict[str, Any]]:
            query = self._table.search(vector, vector_column_name=column).distance_type("cosine").limit(count)
            query = query.where(sql_of([*where, Condition(column, "is not null")]), prefilter=True)
            found: list[dict[str, Any]] = query.select([*self._there((self.key, *columns)), "_distance"]).to_list()
            return found

        return [{**row, COSINE: 1.0 - row.pop("_distance")} for row in self._latest(read)]

    def words(self, columns: Sequence[str]) -> WordReader:
        """Full-text search by indexes, and in memory for what is in none yet."""
        return LanceWords(self._address, self.key, self._open_async, columns)

    def since(self, seen: Seen, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """What is new or changed, or was moved when files were put together, lies beyond the last place seen."""
        last = seen.position.get(_LAST, -1)
        query = self._query([*columns, PLACE], [Condition(PLACE, ">", last)] if last >= 0 else EVERY, None)
        with reading(self._address):
            for batch in self._patiently(partial(read_latest, query.to_batches)):
                if len(batch):
                    yield batch
                    last = max(last, int(batch.column(PLACE).to_numpy().max()))
        seen.position[_LAST] = last

    def changed_in_place(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """LanceDB writes single columns of rows in place: it does not tell of which."""
        return self.batches([*columns, PLACE])

    def _query(self, columns: Sequence[str], where: Where, limit: int | None) -> Any:
        names = self._there(columns)
        query = self._table.search()
        query = query.with_row_id(True) if PLACE in names else query
        query = query.where(sql_of(where)) if where else query
        return (query if limit is None else query.limit(limit)).select(names)

    def _none(self, names: Sequence[str]) -> pa.Table:
        place = pa.field(PLACE, pa.uint64())
        return pa.schema([place if it == PLACE else self.schema.field(it) for it in names]).empty_table()

    def _there(self, columns: Sequence[str]) -> list[str]:
        names = self.schema.names
        return [it for it in dict.fromkeys(columns) if it in names or it == PLACE]

    def _latest(self, read: Callable[[], T]) -> T:
        def again() -> T:
            try:
                return read()
            except READ_ERRORS:  # its version may have gone
                self._table.checkout_latest()
                self._schema = None
                raise

        with reading(self._address):
            return self._patiently(partial(read_latest, again))


def is_missing(error: Exception) -> bool:
    """Whether LanceDB raised it since there is no such table."""
    return _MISSING in str(error)


def tables_of(place: StorePlace) -> Tables:
    """The tables of a store that is named by its folder; those of any other are given as they are."""
    return LanceTables(place) if isinstance(place, Path) else place


@contextmanager
def reading(address: str) -> Iterator[None]:
    """Say in one line what LanceDB raises in the block."""
    try:
        yield
    except READ_ERRORS as error:
        raise WorldError(f"{address} cannot be read: {first_line(error)}") from None
