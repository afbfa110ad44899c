"""The tables of a keyspace: made, widened and checked.

Tables are made by what is asked: a post by its id, posts of a cluster by time, posts by source and hour, posts by what
deletes name. The table of posts has all that is known of one; the others have keys alone, which follow from its row.
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
"""Tables besides those of rows. Months are years * 12 + month, hours are counted since 1970."""
_MORE: Final[Mapping[str, Mapping[str, str]]] = {
    POSTS: {"version": "bigint", "listed": "timestamp"},
    THUMBNAILS.name: {"came_with": "text"},
}
"""Columns that tables have besides those that the declared rows have."""
_OWN: Final = re.compile(r"\w[\w -]{0,99}")
_PLAIN: Final = {Number: "double", Flag: "boolean", Binary: "blob"}
_OWN_FACT: Final = "custom column "
OWN_TYPES: Final[Mapping[str, type[Text | Integer | Number | Flag]]] = {
    it.__name__: it for it in (Text, Integer, Number, Flag)
}
"""What a user's custom columns are of, by name."""


def cql_type(type_: Type) -> str:
    """The type of a column; what is nested is JSON, and lists are frozen, so that to write one leaves no tombstone."""
    match type_:
        case Integer(bits):
            return "int" if bits <= 32 else "bigint"
        case VectorOf(dimension):
            return f"vector<float,{dimension}>"
        case ListOf(Text()):
            return "frozen<list<text>>"
        case _:
            return _PLAIN.get(type(type_), "text")


def quoted(name: str) -> str:
    """A column's name as CQL takes it; raises `AssertionError` where it is none that memewax gives."""
    assert _OWN.fullmatch(name), f"{name!r} is no name of a column"
    return f'"{name}"'


def check_tables(place: object, there: Iterable[str]) -> None:
    """Raise `WorldError` where a keyspace has no tables, or an earlier version made them, and not all of them."""
    names = set(there)
    lacking = sorted({*_LOOKUPS, POSTS, CLUSTERS.name, THUMBNAILS.name} - names)
    if lacking:
        told = f"lacks the tables {', '.join(lacking)}" if POSTS in names else "holds no tables of memewax"
        raise WorldError(f"{place} {told}: make them with `memewax store create '{place}'`")


def create_keyspace(session: CassandraSession, replication: int | None) -> int:
    """Make the keyspace where it is not there, in all datacenters; gives the copies of each row.

    `replication`: copies in each datacenter; by default three, or as many as there are nodes.
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
    """Make the tables that are not there, and the indexes over vectors; those that are there are widened.

    Raises `WorldError` where one is there with other types.
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
    """Add the columns that tables lack; raises `WorldError` where tables are not there or have other types.

    Processes that do so at once come to the same.
    """
    place = session.place
    there = session.types()
    check_tables(place, there)
    own = custom_columns(session)
    for table in tables:
        found = there[table.name]
        wanted = _types_of(table)
        for name, type_ in wanted.items():
            known = found.get(name)
            if known is not None and known != type_ and name not in own:
                raise WorldError(_told(f"{place} holds a table {table.name!r}", name, known, type_))
        lacking = {name: type_ for name, type_ in wanted.items() if name not in found}
        for name, type_ in lacking.items():
            session.define(f"ALTER TABLE {table.name} ADD IF NOT EXISTS {quoted(name)} {type_}")
        note_custom(session, [it for it in table.columns if it.name in lacking])


def custom_columns(session: CassandraSession) -> dict[str, str]:
    """The columns that users added, with the names of their types."""
    cql = f"SELECT name, said FROM {FACTS}"
    return {row.name.removeprefix(_OWN_FACT): row.said for row in session.rows(cql) if row.name.startswith(_OWN_FACT)}


def custom_as_columns(session: CassandraSession) -> list[Column]:
    """The columns that users added."""
    return [
        Column(name, OWN_TYPES[it](), "A custom column", is_custom=True) for name, it in custom_columns(session).items()
    ]


def note_custom(session: CassandraSession, columns: Iterable[Column]) -> None:
    """Note which of some columns are users' own."""
    noted = [(_OWN_FACT + it.name, type(it.type).__name__) for it in columns if it.is_custom]
    session.run([Statement(f"INSERT INTO {FACTS} (name, said) VALUES (?, ?)", it) for it in noted])


def stored_columns(table: Table) -> list[Column]:
    """The columns of rows that are kept: the cluster as of now is known to readers alone."""
    return [it for it in table.columns if it.name != CURRENT_COLUMN.name]


def index_of(table: str, column: str) -> str:
    """The name of the index over a column of vectors."""
    return f"{table}_{column}_nearest"


def _types_of(table: Table) -> dict[str, str]:
    return {**{it.name: cql_type(it.type) for it in stored_columns(table)}, **_MORE.get(table.name, {})}


def _told(where: str, column: str, found: str, wanted: str) -> str:
    if found.startswith("vector<") and wanted.startswith("vector<"):
        return (
            f"{where} with {column} of {found[13:-1]} numbers and the model makes {wanted[13:-1]}: choose the model it "
            "was made with, or another keyspace"
        )
    return f"{where} whose column {column} is {found} and should be {wanted}: choose another keyspace"
