"""Reader of a keyspace's tables: posts get their current cluster (merges applied); hidden accounts are left out."""

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

from connectors.cassandra.cassandra_changes import changed_since, done_times
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
    ROW_ID,
    Condition,
    ReadCursor,
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
"""The server's maximum LIMIT of an ANN query."""
_LEAST_NEAREST: Final = 100
"""Minimum LIMIT of an ANN query. LIMIT 10 is no faster, and examines so few candidates that it misses two of ten."""
_CURRENT: Final = CURRENT_COLUMN.name
_NEEDED: Final = ("author", "source", "cluster")
"""Columns from which the reader derives whether a post is hidden, and its current cluster."""
_WRITTEN: Final = "written"
_COUNTED: Final = "counted"
"""Key in `ReadCursor.position`: when rows were last counted, in seconds since 1970."""
_COUNT_SECONDS: Final = 3600
_PLACE_FIELD: Final = pa.field(ROW_ID, pa.uint64())


class CassandraTable(TableReader):
    """A thread-safe reader of one table.

    Args:
        session: With the keyspace.
        name: Name of the table; `hidden` reads the posts of hidden accounts.
        table: Its columns as stored.
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
        self._merges_state: Hashable = None
        self._hiding_state: Hashable = None
        self._done: dict[str, int] = {}
        self._counted: tuple[Hashable, int] | None = None
        self._settled: Merges | None = None
        self._merges = Merges()
        self._hiding: frozenset[bytes] = frozenset()
        self.refresh()

    @property
    def schema(self) -> pa.Schema:
        """Return the schema of the columns that are stored, and the current cluster."""
        return self._schema

    def refresh(self) -> Hashable:
        """Read the writers' change times, and reload merges, splits and hidden accounts if they changed.

        Returns a value that differs after any change of the table.
        """
        facts = numbers(self._session)
        state = changes_in(facts, self._stored)
        if self._are_posts:
            merges, hiding = changes_in(facts, WAYS), changes_in(facts, HIDING)
            state = (*state, *merges, *hiding)
            with self._lock:
                if merges != self._merges_state:
                    self._merges, self._merges_state = read_merges(self._session), merges
                if hiding != self._hiding_state:
                    cql = f"SELECT account, is_hidden FROM {HIDING}"
                    self._hiding = frozenset(row.account for row in self._session.rows(cql) if row.is_hidden)
                    self._hiding_state = hiding
                self._done = done_times(facts)
        return state

    def count(self) -> int:
        """Count the rows by reading all keys. The count is cached until the table changes.

        Posts are counted in the lookup table by hour, whose rows are much faster to read than those of posts.
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
        """Yield columns of the rows that pass a filter. Filters by key or cluster are fast; others scan the table."""
        wanted = [it for it in columns if it in self._types]
        schema = pa.schema([self._schema.field(it) for it in wanted])
        yield from _batches_of(islice(self._rows(wanted, where), limit), schema, batch or _BATCH)

    def to_arrow(self, columns: Sequence[str], where: Where = EVERY, *, limit: int | None = None) -> pa.Table:
        """Return the rows of `batches` as one table in memory."""
        wanted = [it for it in columns if it in self._types]
        schema = pa.schema([self._schema.field(it) for it in wanted])
        return pa.Table.from_batches(self.batches(wanted, where, limit=limit), schema)

    def rows(self, keys: Sequence[str], columns: Sequence[str], row_ids: Mapping[str, int] | None = None) -> pa.Table:  # noqa: ARG002
        """Return the rows with these keys, as far as they exist."""
        wanted = [it for it in dict.fromkeys((self.key, *columns)) if it in self._types]
        where = [Condition(self.key, "in", list(keys))]
        placed = ROW_ID in columns
        schema = pa.schema([self._schema.field(it) for it in wanted] + ([_PLACE_FIELD] if placed else []))
        found = self._placed_rows(wanted, where) if placed else self._rows(wanted, where)
        return pa.Table.from_batches(_batches_of(found, schema, _BATCH), schema)

    def has_index(self, column: str) -> bool:
        """Check whether `store create` created an SAI index over the column. Only a positive answer is cached."""
        if index_of(self._stored, column) not in self._indexes:
            self._indexes = self._session.indexed()
        return index_of(self._stored, column) in self._indexes

    def nearest(
        self, column: str, vector: NDArray[np.float32], count: int, columns: Sequence[str], where: Where = EVERY
    ) -> list[dict[str, Any]]:
        """Return the rows with the highest cosine similarity, approximately, by the SAI index of the nearest replica.

        Filters and hidden accounts are applied to the 1,000 nearest rows. Raises `UnsupportedError` if fewer than
        `count` of these remain, if `count` exceeds 1,000, or if the column has no index.
        """
        place = self._session.place
        if not self.has_index(column):
            raise UnsupportedError(
                f"{place} has no index over {column}, which a search for similar rows needs: create it with "
                f"`memewax store create '{place}' --vector-index`"
            )
        if count > _MOST_NEAREST:
            raise UnsupportedError(
                f"{place} finds the {_MOST_NEAREST:,} nearest rows at most, but {count:,} were requested"
            )
        is_whole = not where and not self._hiding
        most = min(_MOST_NEAREST, max(count, _LEAST_NEAREST)) if is_whole else _MOST_NEAREST
        wanted = [it for it in dict.fromkeys((self.key, *columns)) if it in self._types]
        read = self._read_columns(wanted, where)
        cql = (
            f"SELECT {self._listed(read)}, similarity_cosine({quoted(column)}, ?) FROM {self._stored} "
            f"ORDER BY {quoted(column)} ANN OF ? LIMIT {most:d}"
        )
        query = np.asarray(vector, np.float32).tolist()
        seen = 0
        found: list[dict[str, Any]] = []
        for raw in self._session.rows(cql, (query, query), near=True):
            seen += 1
            row = self._row(read, raw)
            if row is not None and _fits(row, where) and len(found) < count:
                found.append({**{name: row[name] for name in wanted}, COSINE: 2 * float(raw[-1]) - 1})
        if len(found) < count and seen == most and not is_whole:
            raise UnsupportedError(
                f"{place} filters the {most:,} nearest rows, and only {len(found):,} of them match: request fewer"
            )
        return found

    def words(self, columns: Sequence[str]) -> WordReader:
        """Raise `UnsupportedError`: Cassandra has no full-text search."""
        raise UnsupportedError(
            f"{self._session.place} cannot search words ({', '.join(columns)}): use a store in a folder"
        )

    def since(self, seen: ReadCursor, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the posts that writers recorded as changed, or all rows of another table, with `ROW_ID`.

        `ROW_ID` differs for each version of a row. The first call, or one after the change records have expired, yields
        all posts.
        """
        state = self.refresh()
        wanted = [it for it in dict.fromkeys((self.key, *columns)) if it in self._types]
        if not self._are_posts:
            position = int.from_bytes(blake2b(repr(state).encode(), digest_size=7).digest(), "little")
            if seen.position.get(self.name) != position:
                yield from self._placed(wanted)
            seen.position[self.name] = position
            return
        done, merges, now = self._done, self._merges, int(time.time())
        counted = seen.position.get(_COUNTED, 0)
        ids = changed_since(self._session, seen.position, done) if seen.position else None
        if ids is None:
            yield from self._placed(wanted)
            self._settled, counted = merges, now
        else:
            found: set[str] = set()
            for batch in self._placed(wanted, [Condition(self.key, "in", ids)]) if ids else ():
                found.update(batch.column(self.key).to_pylist())
                yield batch
            # Rows that expire by TTL leave no change record, so posts are recounted once an hour.
            is_known = now - counted < _COUNT_SECONDS
            seen.gone = frozenset(ids) - found if is_known else None
            counted = counted if is_known else now
        seen.position = {**done, _COUNTED: counted}

    def changed_in_place(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the current cluster, with `ROW_ID`, of posts of clusters that merged or split since the last call."""
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
        return ({**row, ROW_ID: _place(row[self.key], row[_WRITTEN])} for row in self._rows(read, where, placed=True))

    def _rows(self, wanted: Sequence[str], where: Where, *, placed: bool = False) -> Iterator[dict[str, Any]]:
        """Yield the rows that pass a filter, with the wanted columns and those of the filter."""
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
        """Yield a superset of the rows that pass a filter, reading only the keys or clusters that it names, if any."""
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
            batch = wanted[start : start + _BATCH]
            pieces = [batch[at : at + _KEYS_AT_ONCE] for at in range(0, len(batch), _KEYS_AT_ONCE)]
            for rows in self._session.run(Statement(f"{cql} WHERE {quoted(self.key)} IN ?", (it,)) for it in pieces):
                yield from rows

    def posts_of(self, cluster: int) -> Iterator[tuple[Any, str]]:
        """Yield (time, id) of the posts that got this cluster on arrival, newest first, from a lookup table.

        Posts of hidden accounts are included; `rows` omits them.
        """
        months = [row.month for row in self._session.rows(f"SELECT month FROM {MONTHS} WHERE cluster = ?", (cluster,))]
        cql = f"SELECT listed, global_id FROM {POSTS_BY_CLUSTER} WHERE cluster = ? AND month = ?"
        for month in sorted(months, reverse=True):
            yield from ((row.listed, row.global_id) for row in self._session.rows(cql, (cluster, month)))

    def posts_on(self, day: date, source: str) -> Iterator[tuple[Any, str]]:
        """Yield (time, id) of a source's posts on a day in UTC, newest first, from a lookup table.

        Posts of hidden accounts are included; `rows` omits them.
        """
        first = hour_of(datetime(day.year, day.month, day.day, tzinfo=UTC))
        cql = f"SELECT listed, global_id FROM {POSTS_BY_HOUR} WHERE source = ? AND hour = ?"
        for hour in reversed(range(first, first + 24)):
            yield from ((row.listed, row.global_id) for row in self._session.rows(cql, (source_key(source), hour)))

    def _in_clusters(self, clusters: Sequence[int]) -> list[str]:
        """Return the ids of posts that may currently be in these clusters."""
        state = self._merges.state()
        wanted = set(clusters)
        given = {it for it in (*wanted, *state["into"]) if self._merges.resolve(it) in wanted and it >= 0}
        moved = [
            post
            for post, targets in state["moved"].items()
            if any(self._merges.current(post, it) in wanted for it in targets)
        ]
        return [*(post for it in sorted(given) for _, post in self.posts_of(it)), *moved]

    def _beyond_all(self, where: Where) -> bool:
        """Check whether a filter asks only for clusters above the highest id ever given."""
        above = [it.value for it in where if it.operator == ">" and it.column in ("cluster", _CURRENT)]
        return bool(above) and self._are_posts and max(above) >= numbers(self._session).get(HIGHEST, -1)

    def _read_columns(self, wanted: Sequence[str], where: Where) -> list[str]:
        needed = [self.key, *(_NEEDED if self._are_posts else ()), *wanted, *(it.column for it in where)]
        return [it for it in dict.fromkeys(needed) if it in self._types and it != _CURRENT]

    @property
    def _stamped(self) -> str:
        """Return a column that every row has, for its write time."""
        return "version" if self._are_posts else next(it for it in self._types if it != self.key)

    def _listed(self, columns: Sequence[str]) -> str:
        return ", ".join(map(quoted, columns))

    def _row(self, columns: Sequence[str], raw: Any) -> dict[str, Any] | None:
        """Return a row with its current cluster; None if its account is hidden (in the table `hidden`: visible)."""
        row = {name: from_cql(self._types[name], value) for name, value in zip(columns, raw, strict=False)}
        if not self._are_posts:
            return row
        is_hidden = bool(self._hiding) and account_key(row["author"] or "", row["source"] or "") in self._hiding
        if is_hidden != (self.name == HIDDEN):
            return None
        row[_CURRENT] = None if row["cluster"] is None else self._merges.current(row[self.key], row["cluster"])
        return row


def _batches_of(rows: Iterable[Mapping[str, Any]], schema: pa.Schema, size: int) -> Iterator[pa.RecordBatch]:
    """Yield rows in batches of `size`; missing fields become null, extra ones are dropped."""
    remaining = iter(rows)
    while batch := list(islice(remaining, size)):
        yield pa.RecordBatch.from_pylist(batch, schema=schema)


def _place(key: Any, written: int) -> int:
    """Return a 63-bit hash of a row's key and write time: another row, or a later version, collides only by chance."""
    return (
        int.from_bytes(blake2b(f"{written} {key}".encode(errors="surrogatepass"), digest_size=8).digest(), "little")
        >> 1
    )


def _listed_values(where: Where, column: str) -> list[Any] | None:
    """Return the values to which a filter restricts a column by `in` or `=`; None if it does not."""
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
