"""What every store can do, wherever it is: in a folder, on object storage, in Cassandra.

Readers and flows know a store by this alone. A store that lacks one of these abilities raises `UnsupportedError` there,
which says so by name.
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

PLACE: Final = "_rowid"
"""Column (uint64) of where a row lies, which only some reads give: a row that is written anew has another place."""
COSINE: Final = "_cosine"
"""Column of how near a row is, which only `nearest` gives."""

Operator = Literal["=", "in", "<", "<=", ">", ">=", "is null", "is not null"]


class UnsupportedError(WorldError):
    """A store cannot do what is asked of it, whatever is in it."""


class Condition(NamedTuple):
    """What a value of a column has to be; null is nothing of these but `is null`."""

    column: str
    operator: Operator
    value: Any = None
    """A text, number or flag; with `in` a sequence of them."""


Where = Sequence[Condition]
"""All of these; none lets all rows through."""
EVERY: Final[Where] = ()


class WordsWanted(NamedTuple):
    """A word or phrase, in any of the columns that are searched."""

    text: str
    is_phrase: bool = False
    slips: int = 0
    """Letters of a word that may be wrong, 0 or 1."""


@dataclass(frozen=True, slots=True)
class WordQuery:
    """What words rows are to have."""

    must: tuple[WordsWanted, ...] = ()
    should: tuple[WordsWanted, ...] = ()
    """More of these make a row better; one at least where `must` is empty."""
    never: tuple[WordsWanted, ...] = ()


class WordReader(ABC):
    """Full-text search over a table, as of the last `refresh`; for one thread at a time."""

    @abstractmethod
    def refresh(self) -> bool:
        """Take in what came and went; whether there are full-text indexes at all. Raises `WorldError`."""

    @abstractmethod
    def find(self, queries: Sequence[WordQuery], most: int) -> list[list[tuple[str, float]]]:
        """For each query keys of rows and their scores by BM25, the best first; raises `WorldError`."""


@dataclass(slots=True)
class Seen:
    """How far a table was followed; what is in it is the store's own affair."""

    position: dict[str, int] = field(default_factory=dict)
    gone: frozenset[str] | None = None
    """Keys that a store knows to be gone since; None: it does not tell, and rows are to be counted."""

    def copy(self) -> "Seen":
        """One that goes on by itself."""
        return Seen(dict(self.position))


class TableReader(ABC):
    """A table of a store, for any number of threads unless it says otherwise. Every method may raise `WorldError`.

    What is read is as of the last `refresh`, or later.
    """

    name: str
    key: str
    """The column that tells rows apart."""

    @property
    @abstractmethod
    def schema(self) -> pa.Schema:
        """Columns that there are; of an older store fewer. `arrow_schema.is_custom` tells those that a user added."""

    @abstractmethod
    def refresh(self) -> Hashable:
        """Look at the table as it is now; gives what differs where anything in it has changed."""

    @abstractmethod
    def count(self) -> int:
        """How many rows there are."""

    @abstractmethod
    def batches(
        self, columns: Sequence[str], where: Where = EVERY, *, limit: int | None = None, batch: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Some columns of the rows that a filter lets through, in no order; those that there are not are left out.

        What fails amid it is not read again; `whole` does that.

        Args:
            columns: Their names.
            where: What rows have to be.
            limit: So many rows at most.
            batch: So many rows at once at most, where it is said.
        """

    @abstractmethod
    def whole(self, columns: Sequence[str], where: Where = EVERY, *, limit: int | None = None) -> pa.Table:
        """The same in memory at once."""

    @abstractmethod
    def rows(self, keys: Sequence[str], columns: Sequence[str], places: Mapping[str, int] | None = None) -> pa.Table:
        """Rows by their keys, in no order; those that exist.

        Args:
            keys: Of any number.
            columns: What is read of them besides the key; `PLACE` may be among them.
            places: Where some of them lay when they were last seen, which may be quicker; a store may do without.
        """

    @abstractmethod
    def has_index(self, column: str) -> bool:
        """Whether `nearest` finds rows by an index over a column of vectors; else it looks at all of them."""

    @abstractmethod
    def nearest(
        self, column: str, vector: NDArray[np.float32], count: int, columns: Sequence[str], where: Where = EVERY
    ) -> list[dict[str, Any]]:
        """The rows whose vector has the largest cosine with one, of those that a filter lets through.

        Args:
            column: Of vectors; rows without one are left out.
            vector: Shape (dimension,).
            count: How many; a store may have a bound.
            columns: What is given of each besides its key and `COSINE`.
            where: What rows have to be.

        Raises:
            UnsupportedError: where the store cannot filter so, or not find so many, or would need an index.
        """

    @abstractmethod
    def words(self, columns: Sequence[str]) -> WordReader:
        """Full-text search over some columns; raises `UnsupportedError` where the store has none."""

    @abstractmethod
    def since(self, seen: Seen, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Rows that may be new or changed since they were seen, all of them at first, with `PLACE`; for one thread.

        `seen` goes on with what is given, and tells at the end what is gone, where the store knows that; else it shows
        in `count`, and in the keys that are left.
        """

    @abstractmethod
    def changed_in_place(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Some columns of rows, with `PLACE`, that may have changed without another place; of none where that shows.

        For one thread, which calls `since` too.
        """


class Tables(ABC):
    """The tables of a store, for who reads them."""

    address: str
    """As it was given; it has no secrets."""
    state: Path
    """The folder on this machine of what lies beside the tables: control/, status/, notes."""

    def __str__(self) -> str:
        """Its address, for messages."""
        return self.address

    @abstractmethod
    def names(self) -> list[str]:
        """The tables that there are; raises `WorldError`."""

    @abstractmethod
    def has(self, table: str) -> bool:
        """Whether there is a table; raises `WorldError`."""

    @abstractmethod
    def identity(self, table: str) -> Hashable:
        """What differs where a table was dropped and made anew; it may at times where it was not."""

    @abstractmethod
    def table(self, name: str) -> TableReader:
        """A table that is there; raises `WorldError`."""


StorePlace = Path | Tables
"""A store to be read: one in a folder may be named by that alone."""


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What a table is like; each kind of store knows more of its own."""

    table: str
    rows: int
    doubled: int
    """Rows whose key another row has too, of the same writer."""


class Store(Tables):
    """Tables with a key: rows that are written twice are there once, and the highest revision stays.

    What a kind of store cannot do at all raises `UnsupportedError`, before anything is done.
    """

    has_lock: ClassVar[bool] = False
    """Whether a lock shows that a flow writes it."""

    @property
    def folder(self) -> Path:
        """The folder that it is; raises `UnsupportedError` where it is elsewhere."""
        raise UnsupportedError(f"{self} is no folder: name a store in a folder, since this is done nowhere else")

    @abstractmethod
    def create(
        self, tables: Sequence[Table], *, copies: int | None = None, has_vector_indexes: bool | None = None
    ) -> str:
        """Make the tables that are not there; says what is there then.

        Args:
            tables: As they should be.
            copies: Of each row, where a store keeps several; None: as many as it does by itself.
            has_vector_indexes: Whether vectors get an index, where a store makes some; None: as it does by itself.

        Raises:
            UnsupportedError: where it cannot do what is said.
            WorldError: where they cannot be made.
        """

    @abstractmethod
    def check_there(self) -> None:
        """Raise `WorldError` where it is no store, since no flow has written to it: before anything is made for it."""

    @abstractmethod
    def facts(self) -> Sequence[TableFacts]:
        """Look at each table, reading its keys; raises `WorldError` where there is none, or one cannot be read."""

    @abstractmethod
    def alone(self) -> AbstractContextManager[object]:
        """Write it in the block where no flow does; raises `BusyError` where one does, as far as the store knows."""

    @abstractmethod
    def compact(self) -> str:
        """Put tables together so that no file holds what was deleted, as far as the store lets others do that.

        To be called within `alone`; says what was done. Raises `WorldError`.
        """

    @abstractmethod
    def named(self, removals: Sequence[Removal]) -> list[str]:
        """The ids of the posts that removals name; raises `WorldError`."""

    @abstractmethod
    def forget(self, removals: Sequence[Removal]) -> str:
        """Delete what is taken back; says what went. Done twice it is as if it were done once.

        To be called within `alone`. Raises `WorldError`.
        """

    @abstractmethod
    def remnants(self, names: LookedFor) -> Iterator[Remnant]:
        """Look where tables still keep names: in rows, and in what is left of older ones. Raises `WorldError`."""

    @abstractmethod
    def check(self) -> None:
        """Raise `WorldError` where it cannot be written safely, before anything is read."""

    @abstractmethod
    def written(self, table: Table, mark: Mark, part: int, memory_days: float) -> WrittenTable:
        """What writes rows to a table, made or widened where it is not as declared.

        Once a delete was taken in, a row of that post that comes later stays out, as far as `mark` goes back.

        Args:
            table: As it should be: name, key, columns.
            mark: What `WrittenTable.mark` gave before; None: begin anew.
            part: Number of one of `part_names`.
            memory_days: For so long a delete is remembered.

        Raises:
            WorldError: where it cannot be, or holds columns of other types.
        """

    @abstractmethod
    def part_names(self, table: str) -> list[str]:
        """Names of the writers that deal the rows of a table among them, as recovery folders keep them."""
