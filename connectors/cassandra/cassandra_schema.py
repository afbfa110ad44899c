"""Schema of a keyspace: create, widen and check its tables.

There is one table per query: a post by its id, posts of a cluster by time, posts by source and hour, posts by the names
that deletes use. Only the table of posts holds all columns. The lookup tables hold keys, all derived from a post's row.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from connectors.cassandra.cassandra_session import CassandraSession, Statement
from connectors.sinks.cluster_events import CLUSTERS
from connectors.sinks.record_table import CURRENT_COLUMN, POSTS, THUMBNAILS
from core.columns import Binary, Column, Flag, Integer, ListOf, Number, Table, Text, Type, VectorOf
from core.errors import WorldError

POSTS_BY_CLUSTER: Final = "posts_by_cluster"
POSTS_BY_HOUR: Final = "posts_by_hour"
POSTS_BY_NAME: Final = "posts_by_name"
MONTHS: Final = "cluster_months"
WAYS: Final = "cluster_ways"
HIDING: Final = "hiding_accounts"
FACTS: Final = "facts"
CHANGES: Final = "changes_by_hour"
REMOVALS: Final = "removals_by_day"

_LOOKUPS: Final[Mapping[str, str]] = {
    POSTS_BY_CLUSTER: (
        "cluster bigint, month int, listed timestamp, global_id text, PRIMARY KEY ((cluster, month), listed, global_id)"
    ),
    POSTS_BY_HOUR: (
        "source text, hour bigint, listed timestamp, global_id text, PRIMARY KEY ((source, hour), listed, global_id)"
    ),
    POSTS_BY_NAME: "name blob, shard int, global_id text, PRIMARY KEY ((name, shard), global_id)",
    MONTHS: "cluster bigint, month int, PRIMARY KEY (cluster, month)",
    WAYS: "cluster bigint, post text, goes_to bigint, PRIMARY KEY ((cluster, post))",
    HIDING: "account blob PRIMARY KEY, is_hidden boolean",
    FACTS: "name text PRIMARY KEY, number bigint, said text",
    CHANGES: "part int, hour bigint, at bigint, follows bigint, ids frozen<list<text>>, PRIMARY KEY ((part, hour), at)",
    REMOVALS: (
        "part int, day bigint, at bigint, flow bigint, names frozen<list<bigint>>, times frozen<list<double>>, "
        "PRIMARY KEY ((part, day), at, flow)"
    ),
}
"""Columns and primary keys of the lookup and bookkeeping tables. Months are years * 12 + month, hours count since 1970.

Months and hours are time buckets: they bound the size of a partition.
"""
_MORE: Final[Mapping[str, Mapping[str, str]]] = {
    POSTS: {"version": "bigint", "listed": "timestamp"},
    THUMBNAILS.name: {"came_with": "text"},
}
"""Columns that exist only in Cassandra, besides those of the declared tables."""
_COLUMN_NAME: Final = re.compile(r"\w[\w -]{0,99}")
_SCALARS: Final = {Number: "double", Flag: "boolean", Binary: "blob"}
_CUSTOM_FACT: Final = "custom column "
CUSTOM_TYPES: Final[Mapping[str, type[Text | Integer | Number | Flag]]] = {
    it.__name__: it for it in (Text, Integer, Number, Flag)
}
"""Types that a user's custom column may have, by name."""


def cql_type(type_: Type) -> str:
    """Return the CQL type of a column.

    Nested values are stored as JSON text. Lists are frozen, because overwriting a non-frozen list writes a tombstone.
    """
    match type_:
        case Integer(bits):
            return "int" if bits <= 32 else "bigint"
        case VectorOf(dimension):
            return f"vector<float,{dimension}>"
        case ListOf(Text()):
            return "frozen<list<text>>"
        case _:
            return _SCALARS.get(type(type_), "text")


def quoted(name: str) -> str:
    """Quote a column name for CQL; raises `AssertionError` if memewax would never create such a name."""
    assert _COLUMN_NAME.fullmatch(name), f"{name!r} is not a valid column name"
    return f'"{name}"'


def check_tables(place: object, there: Iterable[str]) -> None:
    """Raise `WorldError` if tables are missing: all of them, or those that a newer version added."""
    names = set(there)
    missing = sorted({*_LOOKUPS, POSTS, CLUSTERS.name, THUMBNAILS.name} - names)
    if missing:
        problem = f"lacks the tables {', '.join(missing)}" if POSTS in names else "holds no tables of memewax"
        raise WorldError(f"{place} {problem}: create them with `memewax store create '{place}'`")


def create_keyspace(session: CassandraSession, replication: int | None) -> int:
    """Create the keyspace in all datacenters unless it exists; return the replication factor.

    Args:
        session: Connected without a keyspace.
        replication: Copies of each row per datacenter; by default 3, or the number of nodes if that is smaller.
    """
    copies = replication or min(3, session.nodes())
    if not session.is_there:
        each = "".join(f", '{it}': {copies}" for it in session.datacenters() if "'" not in it)
        session.define(
            f'CREATE KEYSPACE IF NOT EXISTS "{session.place.keyspace}" '
            f"WITH replication = {{'class': 'NetworkTopologyStrategy'{each}}}"
        )
    session.use()
    return copies


def create_tables(session: CassandraSession, tables: Sequence[Table], *, has_vector_indexes: bool) -> None:
    """Create missing tables and missing SAI indexes over vectors; add missing columns to existing tables.

    Raises `WorldError` if an existing column has another type.
    """
    there = session.types()
    for name, body in _LOOKUPS.items():
        if name not in there:
            order = " WITH CLUSTERING ORDER BY (listed DESC, global_id ASC)" if "listed" in body else ""
            session.define(f"CREATE TABLE IF NOT EXISTS {name} ({body}){order}")
    for table in tables:
        if table.name not in there:
            body = ", ".join(f"{quoted(name)} {type_}" for name, type_ in _types_of(table).items())
            session.define(f"CREATE TABLE IF NOT EXISTS {table.name} ({body}, PRIMARY KEY ({quoted(table.key)}))")
            note_custom(session, table.columns)
    widen(session, tables)
    for table in tables if has_vector_indexes else ():
        for column in table.columns:
            if isinstance(column.type, VectorOf) and index_of(table.name, column.name) not in session.indexed():
                session.define(
                    f"CREATE CUSTOM INDEX IF NOT EXISTS {index_of(table.name, column.name)} ON {table.name} "
                    f"({quoted(column.name)}) USING 'StorageAttachedIndex' WITH OPTIONS = "
                    "{'similarity_function': 'cosine'}"
                )


def widen(session: CassandraSession, tables: Iterable[Table]) -> None:
    """Add missing columns; raises `WorldError` if a table is missing or a column has another type.

    Idempotent, also when several processes do it at the same time.
    """
    place = session.place
    there = session.types()
    check_tables(place, there)
    custom = custom_columns(session)
    for table in tables:
        found = there[table.name]
        wanted = _types_of(table)
        for name, type_ in wanted.items():
            known = found.get(name)
            if known is not None and known != type_ and name not in custom:
                raise WorldError(_mismatch(f"{place} holds a table {table.name!r}", name, known, type_))
        missing = {name: type_ for name, type_ in wanted.items() if name not in found}
        for name, type_ in missing.items():
            session.define(f"ALTER TABLE {table.name} ADD IF NOT EXISTS {quoted(name)} {type_}")
        note_custom(session, [it for it in table.columns if it.name in missing])


def custom_columns(session: CassandraSession) -> dict[str, str]:
    """Return the custom columns, with the names of their types."""
    cql = f"SELECT name, said FROM {FACTS}"
    return {
        row.name.removeprefix(_CUSTOM_FACT): row.said for row in session.rows(cql) if row.name.startswith(_CUSTOM_FACT)
    }


def custom_as_columns(session: CassandraSession) -> list[Column]:
    """Return the custom columns as column declarations."""
    return [
        Column(name, CUSTOM_TYPES[it](), "A custom column", is_custom=True)
        for name, it in custom_columns(session).items()
    ]


def note_custom(session: CassandraSession, columns: Iterable[Column]) -> None:
    """Record which of these columns are custom, with their types."""
    noted = [(_CUSTOM_FACT + it.name, type(it.type).__name__) for it in columns if it.is_custom]
    session.run([Statement(f"INSERT INTO {FACTS} (name, said) VALUES (?, ?)", it) for it in noted])


def stored_columns(table: Table) -> list[Column]:
    """Return the columns that Cassandra stores: all but the current cluster, which readers compute."""
    return [it for it in table.columns if it.name != CURRENT_COLUMN.name]


def index_of(table: str, column: str) -> str:
    """Return the name of the SAI index over a vector column."""
    return f"{table}_{column}_nearest"


def _types_of(table: Table) -> dict[str, str]:
    return {**{it.name: cql_type(it.type) for it in stored_columns(table)}, **_MORE.get(table.name, {})}


def _mismatch(where: str, column: str, found: str, wanted: str) -> str:
    """Return the error for a column whose type in Cassandra is not the one that the flow writes."""
    if found.startswith("vector<") and wanted.startswith("vector<"):
        return (
            f"{where} with {column} of {found[13:-1]} numbers and the model makes {wanted[13:-1]}: use the model that "
            "the table was created for, or choose another keyspace"
        )
    return f"{where} whose column {column} is {found} and should be {wanted}: choose another keyspace"
