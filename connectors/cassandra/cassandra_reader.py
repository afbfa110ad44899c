"""Reads the tables of a keyspace: posts with the cluster that each is in as of now, without those that are hidden."""

import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from hashlib import blake2b
from itertools import islice
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from connectors.cassandra.cassandra_changes import changed_since, told_of
from connectors.cassandra.cassandra_facts import HIGHEST, changes_in, numbers
from connectors.cassandra.cassandra_schema import (
    HIDING,
    MONTHS,
    POSTS_BY_CLUSTER,
    POSTS_BY_HOUR,
    WAYS,
    index_of,
    quoted,
)
from connectors.cassandra.cassandra_session import CassandraSession, Statement
from connectors.cassandra.cassandra_values import from_cql
from connectors.cassandra.cluster_redirects import moved_between, read_merges
from connectors.cassandra.lookups import account_key, hour_of, source_key
from connectors.sinks.record_table import CURRENT_COLUMN, HIDDEN, POSTS
from connectors.store.arrow_schema import arrow_schema
from connectors.store.interface import (
    COSINE,
    EVERY,
    PLACE,
    Condition,
    Seen,
    TableReader,
    UnsupportedError,
    Where,
    WordReader,
)
from core.columns import Table
from core.merges import Merges

_BATCH: Final = 1000
_KEYS_AT_ONCE: Final = 32
_MOST_NEAREST: Final = 1000
"""What the server allows."""
_LEAST_NEAREST: Final = 100
"""Asked of the server where fewer are wanted: for ten it looks at so few that it misses two, and is no sooner done."""
_CURRENT: Final = CURRENT_COLUMN.name
_NEEDED: Final = ("author", "source", "cluster")
"""Columns that tell whether a post is hidden, and in which cluster it is."""
_WRITTEN: Final = "written"
_COUNTED: Final = "counted"
"""Of what was seen: when rows were counted last, in seconds since 1970."""
_COUNT_SECONDS: Final = 3600
_PLACE_FIELD: Final = pa.field(PLACE, pa.uint64())


class CassandraTable(TableReader):
    """A table of a keyspace, for any number of threads.

    Args:
        session: With the keyspace.
        name: Of the table; `hidden` is of the posts whose accounts hide.
        table: Its columns as they are there.
    """

    def __init__(self, session: CassandraSession, name: str, table: Table) -> None:
        self.name, self.key = name, table.key
        self._session = session
        self._stored = POSTS if name == HIDDEN else name
        self._are_posts = self._stored == POSTS
        self._types = {it.name: it.type for it in table.columns}
        self._schema = arrow_schema(table)
        self._lock = threading.Lock()
        self._indexes: set[str] = set()
        self._ways_state: Hashable = None
        self._hiding_state: Hashable = None
        self._told: dict[str, int] = {}
        self._counted: tuple[Hashable, int] | None = None
        self._settled: Merges | None = None
        self._merges = Merges()
        self._hiding: frozenset[bytes] = frozenset()
        self.refresh()

    @property
    def schema(self) -> pa.Schema:
        """Columns that there are."""
        return self._schema

    def refresh(self) -> Hashable:
        """Look at what the writers say that they changed; merges, splits and hidden accounts are read anew then."""
        told = numbers(self._session)
        state = changes_in(told, self._stored)
        if self._are_posts:
            ways, hiding = changes_in(told, WAYS), changes_in(told, HIDING)
            state = (*state, *ways, *hiding)
            with self._lock:
                if ways != self._ways_state:
                    self._merges, self._ways_state = read_merges(self._session), ways
                if hiding != self._hiding_state:
                    cql = f"SELECT account, is_hidden FROM {HIDING}"
                    self._hiding = frozenset(row.account for row in self._session.rows(cql) if row.is_hidden)
                    self._hiding_state = hiding
                self._told = told_of(told)
        return state

    def count(self) -> int:
        """How many rows there are: keys are read, and what was counted is known until something changes.

        Each post is listed by its hour, in rows that are read much quicker than its own.
        """
        state = self.refresh()
        if self._counted is None or self._counted[0] != state:
            if self.name == POSTS and not self._hiding:
                listed = self._session.rows(f"SELECT global_id FROM {POSTS_BY_HOUR}")
                self._counted = state, len({row.global_id for row in listed})
            else:
                self._counted = state, sum(1 for _ in self._rows([self.key], EVERY))
        return self._counted[1]

    def batches(
        self, columns: Sequence[str], where: Where = EVERY, *, limit: int | None = None, batch: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Some columns of the rows that a filter lets through; by keys and clusters quickly, else by reading all."""
        wanted = [it for it in columns if it in self._types]
        schema = pa.schema([self._schema.field(it) for it in wanted])
        yield from _batches_of(islice(self._rows(wanted, where), limit), schema, batch or _BATCH)

    def whole(self, columns: Sequence[str], where: Where = EVERY, *, limit: int | None = None) -> pa.Table:
        """The same in memory at once."""
        wanted = [it for it in columns if it in self._types]
        schema = pa.schema([self._schema.field(it) for it in wanted])
        return pa.Table.from_batches(self.batches(wanted, where, limit=limit), schema)

    def rows(self, keys: Sequence[str], columns: Sequence[str], places: Mapping[str, int] | None = None) -> pa.Table:  # noqa: ARG002
        """Rows by their keys; those that exist."""
        wanted = [it for it in dict.fromkeys((self.key, *columns)) if it in self._types]
        where = [Condition(self.key, "in", list(keys))]
        placed = PLACE in columns
        schema = pa.schema([self._schema.field(it) for it in wanted] + ([_PLACE_FIELD] if placed else []))
        found = self._placed_rows(wanted, where) if placed else self._rows(wanted, where)
        return pa.Table.from_batches(_batches_of(found, schema, _BATCH), schema)

    def has_index(self, column: str) -> bool:
        """Whether `store create` made one; it is looked for until there is one."""
        if index_of(self._stored, column) not in self._indexes:
            self._indexes = self._session.indexed()
        return index_of(self._stored, column) in self._indexes

    def nearest(
        self, column: str, vector: NDArray[np.float32], count: int, columns: Sequence[str], where: Where = EVERY
    ) -> list[dict[str, Any]]:
        """The rows whose vector has the largest cosine with one, by the index, as the nearest replica has them.

        A filter, and what is hidden, is taken from the 1,000 nearest. Raises `UnsupportedError` where these do not have
        as many as are asked for, and where there is no index.
        """
        place = self._session.place
        if not self.has_index(column):
            raise UnsupportedError(
                f"{place} has no index over {column}, so that nothing near can be found: make it with "
                f"`memewax store create '{place}' --vector-index`"
            )
        if count > _MOST_NEAREST:
            raise UnsupportedError(
                f"{place} finds the {_MOST_NEAREST:,} nearest rows at most, and {count:,} are wanted"
            )
        is_whole = not where and not self._hiding
        most = min(_MOST_NEAREST, max(count, _LEAST_NEAREST)) if is_whole else _MOST_NEAREST
        wanted = [it for it in dict.fromkeys((self.key, *columns)) if it in self._types]
        read = self._read_columns(wanted, where)
        cql = (
            f"SELECT {self._listed(read)}, similarity_cosine({quoted(column)}, ?) FROM {self._stored} "
            f"ORDER BY {quoted(column)} ANN OF ? LIMIT {most:d}"
        )
        own = np.asarray(vector, np.float32).tolist()
        seen = 0
        found: list[dict[str, Any]] = []
        for raw in self._session.rows(cql, (own, own), near=True):
            seen += 1
            row = self._row(read, raw)
            if row is not None and _fits(row, where) and len(found) < count:
                found.append({**{name: row[name] for name in wanted}, COSINE: 2 * float(raw[-1]) - 1})
        if len(found) < count and seen == most and not is_whole:
            raise UnsupportedError(
                f"{place} filters the {most:,} nearest rows, and only {len(found):,} of them are as wanted: "
                "ask for fewer"
            )
        return found

    def words(self, columns: Sequence[str]) -> WordReader:
        """Raise `UnsupportedError`: Cassandra has no full-text search."""
        raise UnsupportedError(
            f"{self._session.place} cannot search words ({', '.join(columns)}): a store in a folder can"
        )

    def since(self, seen: Seen, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Posts that their writers say they changed, those of other tables all; with `PLACE`, which tells what changed.

        Who follows posts for the first time, or was away for a day, reads all of them.
        """
        state = self.refresh()
        wanted = [it for it in dict.fromkeys((self.key, *columns)) if it in self._types]
        if not self._are_posts:
            position = int.from_bytes(blake2b(repr(state).encode(), digest_size=7).digest(), "little")
            if seen.position.get(self.name) != position:
                yield from self._placed(wanted)
            seen.position[self.name] = position
            return
        told, merges, now = self._told, self._merges, int(time.time())
        counted = seen.position.get(_COUNTED, 0)
        ids = changed_since(self._session, seen.position, told) if seen.position else None
        if ids is None:
            yield from self._placed(wanted)
            self._settled, counted = merges, now
        else:
            found: set[str] = set()
            for batch in self._placed(wanted, [Condition(self.key, "in", ids)]) if ids else ():
                found.update(batch.column(self.key).to_pylist())
                yield batch
            # What was kept as long as it should be goes without a word: posts are counted from time to time.
            is_known = now - counted < _COUNT_SECONDS
            seen.gone = frozenset(ids) - found if is_known else None
            counted = counted if is_known else now
        seen.position = {**told, _COUNTED: counted}

    def changed_in_place(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The cluster as of now, with `PLACE`, of posts of clusters that were merged or split since the last time."""
        if not self._are_posts or _CURRENT not in columns:
            return
        self.refresh()
        before, now = self._settled, self._merges
        if before is None:
            yield from self._placed([_CURRENT])
        elif before is not now:
            clusters, moved = moved_between(before, now)
            ids = [*(post for it in clusters for _, post in self.posts_of(it)), *moved]
            yield from self._placed([_CURRENT], [Condition(self.key, "in", ids)])
        self._settled = now

    def _placed(self, wanted: list[str], where: Where = EVERY) -> Iterator[pa.RecordBatch]:
        schema = pa.schema([*(self._schema.field(it) for it in wanted), _PLACE_FIELD])
        yield from _batches_of(self._placed_rows(wanted, where), schema, _BATCH)

    def _placed_rows(self, wanted: Sequence[str], where: Where) -> Iterator[dict[str, Any]]:
        read = list(dict.fromkeys((self.key, *wanted)))
        return ({**row, PLACE: _place(row[self.key], row[_WRITTEN])} for row in self._rows(read, where, placed=True))

    def _rows(self, wanted: Sequence[str], where: Where, *, placed: bool = False) -> Iterator[dict[str, Any]]:
        """Rows with the columns that are wanted and those that a filter looks at."""
        read = self._read_columns(wanted, where)
        written = f", WRITETIME({quoted(self._stamped)})" if placed else ""
        cql = f"SELECT {self._listed(read)}{written} FROM {self._stored}"
        for raw in self._found(cql, where):
            row = self._row(read, raw)
            if row is not None and _fits(row, where):
                if placed:
                    row[_WRITTEN] = raw[-1] or 0
                yield row

    def _found(self, cql: str, where: Where) -> Iterator[Any]:
        """Raw rows among which are all that a filter lets through."""
        keys = _listed_values(where, self.key)
        clusters = _listed_values(where, _CURRENT) if self._are_posts else None
        if keys is None and clusters is not None:
            keys = self._in_clusters(clusters)
        if keys is None:
            if not self._beyond_all(where):
                yield from self._session.rows(cql)
            return
        wanted = list(dict.fromkeys(keys))
        for start in range(0, len(wanted), _BATCH):
            some = wanted[start : start + _BATCH]
            pieces = [some[at : at + _KEYS_AT_ONCE] for at in range(0, len(some), _KEYS_AT_ONCE)]
            for rows in self._session.run(Statement(f"{cql} WHERE {quoted(self.key)} IN ?", (it,)) for it in pieces):
                yield from rows

    def posts_of(self, cluster: int) -> Iterator[tuple[Any, str]]:
        """Times and ids of the posts that got a cluster on arrival, the newest first; a table is made for it.

        Those whose account hides are among them: `rows` leaves them out.
        """
        months = [row.month for row in self._session.rows(f"SELECT month FROM {MONTHS} WHERE cluster = ?", (cluster,))]
        cql = f"SELECT listed, global_id FROM {POSTS_BY_CLUSTER} WHERE cluster = ? AND month = ?"
        for month in sorted(months, reverse=True):
            yield from ((row.listed, row.global_id) for row in self._session.rows(cql, (cluster, month)))

    def posts_on(self, day: date, source: str) -> Iterator[tuple[Any, str]]:
        """Times and ids of the posts of a source on a day in UTC, the newest first; a table is made for it.

        Those whose account hides are among them: `rows` leaves them out.
        """
        first = hour_of(datetime(day.year, day.month, day.day, tzinfo=UTC))
        cql = f"SELECT listed, global_id FROM {POSTS_BY_HOUR} WHERE source = ? AND hour = ?"
        for hour in reversed(range(first, first + 24)):
            yield from ((row.listed, row.global_id) for row in self._session.rows(cql, (source_key(source), hour)))

    def _in_clusters(self, clusters: Sequence[int]) -> list[str]:
        """Ids of the posts that may be in clusters as of now."""
        state = self._merges.state()
        wanted = set(clusters)
        given = {it for it in (*wanted, *state["into"]) if self._merges.resolve(it) in wanted and it >= 0}
        moved = [
            post
            for post, ways in state["moved"].items()
            if any(self._merges.current(post, it) in wanted for it in ways)
        ]
        return [*(post for it in sorted(given) for _, post in self.posts_of(it)), *moved]

    def _beyond_all(self, where: Where) -> bool:
        """Whether a filter asks for clusters above all that there ever were."""
        above = [it.value for it in where if it.operator == ">" and it.column in ("cluster", _CURRENT)]
        return bool(above) and self._are_posts and max(above) >= numbers(self._session).get(HIGHEST, -1)

    def _read_columns(self, wanted: Sequence[str], where: Where) -> list[str]:
        needed = [self.key, *(_NEEDED if self._are_posts else ()), *wanted, *(it.column for it in where)]
        return [it for it in dict.fromkeys(needed) if it in self._types and it != _CURRENT]

    @property
    def _stamped(self) -> str:
        """A column that every row has."""
        return "version" if self._are_posts else next(it for it in self._types if it != self.key)

    def _listed(self, columns: Sequence[str]) -> str:
        return ", ".join(map(quoted, columns))

    def _row(self, columns: Sequence[str], raw: Any) -> dict[str, Any] | None:
        """A row as others see it; None where it is hidden, or of `hidden` where it is not."""
        row = {name: from_cql(self._types[name], value) for name, value in zip(columns, raw, strict=False)}
        if not self._are_posts:
            return row
        is_hidden = bool(self._hiding) and account_key(row["author"] or "", row["source"] or "") in self._hiding
        if is_hidden != (self.name == HIDDEN):
            return None
        row[_CURRENT] = None if row["cluster"] is None else self._merges.current(row[self.key], row["cluster"])
        return row


def _batches_of(rows: Iterable[Mapping[str, Any]], schema: pa.Schema, size: int) -> Iterator[pa.RecordBatch]:
    """Rows with more or fewer fields, some at a time."""
    left = iter(rows)
    while some := list(islice(left, size)):
        yield pa.RecordBatch.from_pylist(some, schema=schema)


def _place(key: Any, written: int) -> int:
    """A number that another row, or the same one written anew, does not have but by a rare chance."""
    return (
        int.from_bytes(blake2b(f"{written} {key}".encode(errors="surrogatepass"), digest_size=8).digest(), "little")
        >> 1
    )


def _listed_values(where: Where, column: str) -> list[Any] | None:
    """The values that a filter lets a column have; None where it does not say."""
    for it in where:
        if it.column == column and it.operator in ("in", "="):
            return list(it.value) if it.operator == "in" else [it.value]
    return None


_TESTS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": lambda value, other: bool(value == other),
    "in": lambda value, other: value in other,
    "<": lambda value, other: bool(value < other),
    "<=": lambda value, other: bool(value <= other),
    ">": lambda value, other: bool(value > other),
    ">=": lambda value, other: bool(value >= other),
}


def _fits(row: Mapping[str, Any], where: Where) -> bool:
    for column, operator, wanted in where:
        value = row.get(column)
        if operator == "is null":
            fits = value is None
        elif operator == "is not null":
            fits = value is not None
        else:
            fits = value is not None and _TESTS[operator](value, wanted)
        if not fits:
            return False
    return True
