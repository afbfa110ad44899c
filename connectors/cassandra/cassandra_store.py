"""A keyspace of Cassandra as a store."""

import threading
from collections.abc import Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Final

from connectors.cassandra.cassandra_clusters import CassandraClusters
from connectors.cassandra.cassandra_images import CassandraImages
from connectors.cassandra.cassandra_place import SCHEME, CassandraPlace, CassandraSettings
from connectors.cassandra.cassandra_posts import CassandraPosts
from connectors.cassandra.cassandra_reader import CassandraTable
from connectors.cassandra.cassandra_schema import (
    check_tables,
    create_keyspace,
    create_tables,
    custom_as_columns,
)
from connectors.cassandra.cassandra_session import CassandraSession
from connectors.cassandra.cassandra_takings import named_rows
from connectors.cassandra.keyspace_maintenance import facts_of_keyspace, forget_in_keyspace, in_keyspace
from connectors.cassandra.lookups import PARTS
from connectors.remnants import LookedFor, Remnant
from connectors.sinks.cluster_events import CLUSTERS
from connectors.sinks.record_table import HIDDEN, POSTS, THUMBNAILS, posts_table
from connectors.sinks.sink import Mark
from connectors.sinks.table_writer import WrittenTable
from connectors.store.interface import Store, TableFacts, TableReader, UnsupportedError
from core.columns import Table
from core.errors import WorldError
from core.records import Removal

_STORED: Final = {POSTS: POSTS, HIDDEN: POSTS, CLUSTERS.name: CLUSTERS.name, THUMBNAILS.name: THUMBNAILS.name}
"""Tables that readers know, and where they lie."""
_VECTORS: Final = ("embeddings", "text_embedding")


class CassandraStore(Store):
    """The store in a keyspace; it connects when it is first asked, for any number of threads."""

    def __init__(self, place: CassandraPlace, settings: CassandraSettings, state: Path) -> None:
        self.address = str(place)
        self.state = state
        self._place = place
        self._settings = settings
        self._lock = threading.Lock()
        self._connected: CassandraSession | None = None

    @property
    def session(self) -> CassandraSession:
        """With the keyspace, where that is there; raises `WorldError` where Cassandra does not answer in time."""
        with self._lock:
            if self._connected is None or self._connected.is_given_up:
                self._connected = CassandraSession(self._place, self._settings)
            return self._connected

    def close(self) -> None:
        """End the connection."""
        with self._lock:
            if self._connected is not None:
                self._connected.close()
                self._connected = None

    def create(
        self, tables: Sequence[Table], *, copies: int | None = None, has_vector_indexes: bool | None = None
    ) -> str:
        """Make the keyspace and the tables that are not there; by itself vectors get an index."""
        made = create_keyspace(self.session, copies)
        create_tables(self.session, [*tables, THUMBNAILS], has_vector_indexes=has_vector_indexes is not False)
        return f"has all tables, {made} copies of each row"

    def check_there(self) -> None:
        """A keyspace that has all tables is a store."""
        self.check()

    def facts(self) -> Sequence[TableFacts]:
        """With how many indexes there are, and how many rows of lookup tables have no post."""
        return facts_of_keyspace(self.session)

    def alone(self) -> AbstractContextManager[object]:
        """Nothing locks a keyspace: what is done twice is as if it were done once."""
        return nullcontext()

    def compact(self) -> str:
        """Drop small images of no post: tables Cassandra puts together by itself."""
        self.check()
        CassandraImages(self.session, 0, 0).sweep()
        return f"small images of no post went; tables are Cassandra's: `nodetool compact {self._place.keyspace}`"

    def named(self, removals: Sequence[Removal]) -> list[str]:
        """Those that are hidden too."""
        self.check()
        return [row["global_id"] for row in named_rows(self.session, removals, range(PARTS))]

    def forget(self, removals: Sequence[Removal]) -> str:
        """From all tables; flows that write now are told."""
        return forget_in_keyspace(self.session, self.state, removals)

    def remnants(self, names: LookedFor) -> Iterator[Remnant]:
        """In rows; whether files of the nodes may hold any is said, and not looked at."""
        return in_keyspace(self.session, names)

    def check(self) -> None:
        """Raise `WorldError` where the tables are not there."""
        check_tables(self._place, self.session.types())

    def names(self) -> list[str]:
        """The tables that there are; raises `WorldError`."""
        there = self.session.types()
        return [name for name, stored in _STORED.items() if stored in there]

    def has(self, table: str) -> bool:
        """Whether there is a table; raises `WorldError`."""
        return _STORED.get(table) in self.session.types()

    def identity(self, table: str) -> Hashable:
        """The server's own name of the table, which no other has."""
        cql = "SELECT id FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?"
        found = list(self.session.rows(cql, (self._place.keyspace, _STORED.get(table, ""))))
        return str(found[0].id) if found else None

    def table(self, name: str) -> TableReader:
        """A table that is there; raises `WorldError`."""
        stored = _STORED.get(name)
        there = self.session.types()
        if stored is None or stored not in there:
            raise WorldError(f"{self.address} has no table {name}")
        check_tables(self._place, there)
        columns = there[stored]
        if stored == POSTS:
            sizes = [int(columns[it].removeprefix("vector<float,").removesuffix(">")) for it in _VECTORS]
            declared = posts_table(*sizes)
            own = custom_as_columns(self.session)
            names = {it.name for it in own}
            current = [it for it in declared.columns if it.name in columns or it.name == "current_cluster"]
            kept = (*(it for it in current if it.name not in names), *own)
            return CassandraTable(self.session, name, Table(POSTS, declared.key, kept))
        declared = CLUSTERS if stored == CLUSTERS.name else THUMBNAILS
        kept = tuple(it for it in declared.columns if it.name in columns)
        return CassandraTable(self.session, name, Table(stored, declared.key, kept))

    def written(self, table: Table, mark: Mark, part: int, memory_days: float) -> WrittenTable:
        """What writes the rows of one part; raises `WorldError` where there is no such table, or another one."""
        if table.name == CLUSTERS.name:
            return CassandraClusters(self.session, table, mark, part)
        if table.name == POSTS:
            days = self._settings.store_retention_days
            return CassandraPosts(self.session, table, mark, part, self.state, memory_days, days)
        raise UnsupportedError(f"{self.address} keeps no {table.name}: a store in a folder does")

    def part_names(self, table: str) -> list[str]:
        """As many for every table, so that each worker writes; they stay the same if hosts are named otherwise."""
        return [f"{SCHEME}{self._place.keyspace}/{table}/{part}" for part in range(PARTS)]
