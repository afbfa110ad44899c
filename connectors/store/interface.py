"""Interface of all stores, whether they lie in a folder, on object storage or in Cassandra.

Readers and flows use a store through this interface only. An operation that a kind of store cannot do raises
`UnsupportedError`, whose message names the operation.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from connectors.remnants import LookedFor, Remnant
from connectors.sinks.sink import Mark
from connectors.sinks.table_writer import WrittenTable
from core.columns import Table
from core.errors import WorldError
from core.records import Removal

ROW_ID: Final = "_rowid"
"""Column (uint64) of a store's internal row id, which only some reads return. A rewritten row gets another row id."""
COSINE: Final = "_cosine"
"""Column of the cosine similarity between a row and the query, -1 to 1; only `nearest` returns it."""

Operator = Literal["=", "in", "<", "<=", ">", ">=", "is null", "is not null"]


class UnsupportedError(WorldError):
    """A kind of store does not support an operation, whatever data it holds."""


class Condition(NamedTuple):
    """A comparison of a column with a value; null satisfies `is null` only, as in SQL."""

    column: str
    operator: Operator
    value: Any = None
    """A string, number or boolean; a sequence of them with `in`."""


Where = Sequence[Condition]
"""A filter: conditions joined by AND; an empty one selects all rows."""
EVERY: Final[Where] = ()


class SearchTerm(NamedTuple):
    """A word or phrase to be matched in any of the searched columns."""

    text: str
    is_phrase: bool = False
    slips: int = 0
    """Largest edit distance of a match, 0 or 1."""


@dataclass(frozen=True, slots=True)
class WordQuery:
    """A boolean full-text query."""

    must: tuple[SearchTerm, ...] = ()
    should: tuple[SearchTerm, ...] = ()
    """Optional terms that raise a row's score; if `must` is empty, at least one has to match."""
    never: tuple[SearchTerm, ...] = ()


class WordReader(ABC):
    """Full-text search over a table as of the last `refresh`; not thread-safe."""

    @abstractmethod
    def refresh(self) -> bool:
        """Catch up with the table's latest version.

        Returns:
            Whether the table has full-text indexes.

        Raises:
            WorldError: if the table cannot be read.
        """

    @abstractmethod
    def find(self, queries: Sequence[WordQuery], most: int) -> list[list[tuple[str, float]]]:
        """Return the best rows for each query.

        Args:
            queries: Queries, answered together.
            most: Rows per query at most.

        Returns:
            For each query, keys of rows with their BM25 scores, the best first.

        Raises:
            WorldError: if the table cannot be read.
        """


@dataclass(slots=True)
class ReadCursor:
    """A cursor of `TableReader.since`: how far a table was read. Its content is private to the store."""

    position: dict[str, int] = field(default_factory=dict)
    gone: frozenset[str] | None = None
    """Keys deleted since the last read; None if the store does not track deletions, so that rows must be counted."""

    def copy(self) -> "ReadCursor":
        """Return an independent cursor at the same position."""
        return ReadCursor(dict(self.position))


class TableReader(ABC):
    """Read access to a table of a store; thread-safe unless a method says otherwise. Any method may raise `WorldError`.

    Reads see the table as of the last `refresh`, or a later version.
    """

    name: str
    key: str
    """The primary-key column."""

    @property
    @abstractmethod
    def schema(self) -> pa.Schema:
        """Return the existing columns: an older store has fewer. `arrow_schema.is_custom` recognises custom columns."""

    @abstractmethod
    def refresh(self) -> Hashable:
        """Move to the table's latest version and return a token that differs whenever the table has changed."""

    @abstractmethod
    def count(self) -> int:
        """Return the number of rows."""

    @abstractmethod
    def batches(
        self, columns: Sequence[str], where: Where = EVERY, *, limit: int | None = None, batch: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows that match a filter, in no particular order, in bounded memory.

        A failure midway is not retried, since batches were already yielded; `to_arrow` retries.

        Args:
            columns: Columns to read; those that do not exist are left out.
            where: Filter.
            limit: Maximum number of rows; None reads all.
            batch: Maximum number of rows per batch; None leaves it to the store.
        """

    @abstractmethod
    def to_arrow(self, columns: Sequence[str], where: Where = EVERY, *, limit: int | None = None) -> pa.Table:
        """Return what `batches` yields as one table in memory, retrying reads that fail."""

    @abstractmethod
    def rows(self, keys: Sequence[str], columns: Sequence[str], row_ids: Mapping[str, int] | None = None) -> pa.Table:
        """Look up rows by key.

        Args:
            keys: Any number of keys; unknown ones are ignored.
            columns: Columns to read besides the key; may include `ROW_ID`.
            row_ids: Last known row ids of some keys, which may speed up the look-up; a store may ignore them.

        Returns:
            The rows that exist, in no particular order.
        """

    @abstractmethod
    def has_index(self, column: str) -> bool:
        """Check whether `nearest` uses a vector index over a column rather than compare all rows."""

    @abstractmethod
    def nearest(
        self, column: str, vector: NDArray[np.float32], count: int, columns: Sequence[str], where: Where = EVERY
    ) -> list[dict[str, Any]]:
        """Return the rows that match a filter and are most similar to a vector by cosine.

        Args:
            column: Vector column; rows where it is null are left out.
            vector: Query, float32, shape (dimension,).
            count: Maximum number of rows; a store may have an upper bound.
            columns: Columns to return besides the key and `COSINE`.
            where: Filter, applied before the search.

        Returns:
            Rows as dicts, the most similar first.

        Raises:
            UnsupportedError: if the store cannot apply this filter, cannot return so many rows, or lacks the index
                that it needs.
        """

    @abstractmethod
    def words(self, columns: Sequence[str]) -> WordReader:
        """Return a full-text search over `columns`; raises `UnsupportedError` if the store has no full-text index."""

    @abstractmethod
    def since(self, seen: ReadCursor, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield rows, with `ROW_ID`, that may be new or changed since a cursor; not thread-safe.

        Args:
            seen: The cursor; a new one yields all rows. It is advanced as batches are yielded. At the end `seen.gone`
                holds the deleted keys if the store tracks deletions; otherwise compare `count` and the remaining keys.
            columns: Columns to read.
        """

    @abstractmethod
    def changed_in_place(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield rows, with `ROW_ID`, that may have changed while keeping their row id, which `since` misses.

        Yields nothing if every change of this store shows in `since`. Not thread-safe: call it from the thread that
        calls `since`.
        """


class Tables(ABC):
    """Read access to the tables of a store."""

    address: str
    """Address as the user gave it; it contains no secrets."""
    state: Path
    """Local folder of what is not in tables: control/, status/, cluster ids and revisions."""

    def __str__(self) -> str:
        """Return the address, for messages."""
        return self.address

    @abstractmethod
    def names(self) -> list[str]:
        """Return the names of the existing tables; raises `WorldError`."""

    @abstractmethod
    def has(self, table: str) -> bool:
        """Check whether a table exists; raises `WorldError`."""

    @abstractmethod
    def identity(self, table: str) -> Hashable:
        """Return a token that changes whenever a table is recreated; it may change at other times too."""

    @abstractmethod
    def table(self, name: str) -> TableReader:
        """Open an existing table; raises `WorldError` if it does not exist or cannot be read."""


StorePlace = Path | Tables
"""A store to read: the folder of a local one, or the tables of any."""


@dataclass(frozen=True, slots=True)
class TableFacts:
    """Statistics of a table; each kind of store adds its own."""

    table: str
    rows: int
    duplicates: int
    """Rows that repeat the key of another row of the same writer."""


class Store(Tables):
    """A store that can be written. Writes are idempotent upserts by key, of which the highest revision wins.

    An unsupported operation raises `UnsupportedError` before it changes anything.
    """

    has_lock: ClassVar[bool] = False
    """Whether a lock file shows that a flow is writing the store."""

    @property
    def folder(self) -> Path:
        """Return the store's folder; raises `UnsupportedError` if the store is not a local folder."""
        raise UnsupportedError(f"{self} is not a folder: this is only possible for a store in a local folder")

    @abstractmethod
    def create(
        self, tables: Sequence[Table], *, copies: int | None = None, has_vector_indexes: bool | None = None
    ) -> str:
        """Create the tables that do not exist yet.

        Args:
            tables: Declarations of the tables.
            copies: Replication factor; None for the store's default.
            has_vector_indexes: Whether to create vector indexes; None for the store's default.

        Returns:
            One line for the user that says which tables exist now.

        Raises:
            UnsupportedError: if the store does not support an option.
            WorldError: if the tables cannot be created.
        """

    @abstractmethod
    def check_there(self) -> None:
        """Raise `WorldError` if no flow has written to the store yet; creates nothing."""

    @abstractmethod
    def facts(self) -> Sequence[TableFacts]:
        """Return statistics of each table, reading all keys; raises `WorldError` if there is none to read."""

    @abstractmethod
    def write_lock(self) -> AbstractContextManager[object]:
        """Return a context manager that holds the writer's lock, if the store has one.

        Raises:
            BusyError: if a flow is known to be writing the store.
        """

    @abstractmethod
    def compact(self) -> str:
        """Compact the tables, erasing deleted rows from all files as far as the store allows it.

        Call it within `write_lock`.

        Returns:
            One line for the user that says what was done.

        Raises:
            WorldError: if the store cannot be read or written.
        """

    @abstractmethod
    def matching_ids(self, removals: Sequence[Removal]) -> list[str]:
        """Return the ids of the posts that removals refer to; raises `WorldError`."""

    @abstractmethod
    def forget(self, removals: Sequence[Removal]) -> str:
        """Delete the posts that removals refer to; idempotent. Call it within `write_lock`.

        Returns:
            One line for the user that says how much was deleted.

        Raises:
            WorldError: if the store cannot be read or written.
        """

    @abstractmethod
    def remnants(self, names: LookedFor) -> Iterator[Remnant]:
        """Yield the places that still hold given names: rows, older versions and files. Raises `WorldError`."""

    @abstractmethod
    def check(self) -> None:
        """Raise `WorldError` if the store cannot be written safely; called before a flow reads its sources."""

    @abstractmethod
    def open_for_writing(self, table: Table, mark: Mark, part: int, memory_days: float) -> WrittenTable:
        """Open a table for writing, creating it or adding missing columns first.

        The writer remembers deletes: a later row of a deleted post is dropped, as far back as `mark` reaches.

        Args:
            table: Declaration of the table: name, key, columns.
            mark: Snapshot from `WrittenTable.mark` to resume from; None starts from scratch.
            part: Index of the writer in `part_names`.
            memory_days: Days for which deletes are remembered.

        Raises:
            WorldError: if the table cannot be opened, or has columns of other types.
        """

    @abstractmethod
    def part_names(self, table: str) -> list[str]:
        """Return the names of the parts of a table, each with its own writer, as recovery folders store them."""
