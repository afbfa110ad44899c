"""Store in a Cassandra keyspace."""

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
from connectors.cassandra.keyspace_maintenance import facts_of_keyspace, forget_in_keyspace, in_keyspace
from connectors.cassandra.lookups import PARTS
from connectors.cassandra.post_deletes import matching_rows
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
"""Names of tables for readers, and the Cassandra table that holds each."""
_VECTORS: Final = ("embeddings", "text_embedding")


class CassandraStore(Store):
    """Store in a Cassandra keyspace, thread-safe. It connects on first use."""

    def __init__(self, place: CassandraPlace, settings: CassandraSettings, state: Path) -> None:
        self.address = str(place)
        self.state = state
        self._place = place
        self._settings = settings
        self._lock = threading.Lock()
        self._connected: CassandraSession | None = None

    @property
    def session(self) -> CassandraSession:
        """Return the session with the keyspace, connecting if necessary.

        Raises `WorldError` if Cassandra does not answer in time.
        """
        with self._lock:
            if self._connected is None or self._connected.is_given_up:
                self._connected = CassandraSession(self._place, self._settings)
            return self._connected

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            if self._connected is not None:
                self._connected.close()
                self._connected = None

    def create(
        self, tables: Sequence[Table], *, copies: int | None = None, has_vector_indexes: bool | None = None
    ) -> str:
        """Create the keyspace and the missing tables; vectors get an SAI index unless `has_vector_indexes` is False."""
        replication = create_keyspace(self.session, copies)
        create_tables(self.session, [*tables, THUMBNAILS], has_vector_indexes=has_vector_indexes is not False)
        return f"has all tables, {replication} {'copy' if replication == 1 else 'copies'} of each row"

    def check_there(self) -> None:
        """Raise `WorldError` if tables are missing: a keyspace with all tables is a store."""
        self.check()

    def facts(self) -> Sequence[TableFacts]:
        """Count the rows and indexes of each table, and the lookup rows without a post."""
        return facts_of_keyspace(self.session)

    def write_lock(self) -> AbstractContextManager[object]:
        """Return a context that locks nothing: all writes to a keyspace are idempotent."""
        return nullcontext()

    def compact(self) -> str:
        """Drop thumbnails that no post uses; Cassandra compacts its tables by itself."""
        self.check()
        CassandraImages(self.session, 0, 0).sweep()
        return f"unused thumbnails deleted; to compact the tables, run `nodetool compact {self._place.keyspace}`"

    def matching_ids(self, removals: Sequence[Removal]) -> list[str]:
        """Return the ids of the posts that removals name, including hidden ones."""
        self.check()
        return [row["global_id"] for row in matching_rows(self.session, removals, range(PARTS))]

    def forget(self, removals: Sequence[Removal]) -> str:
        """Delete posts from all tables, and publish the deletes to running flows."""
        return forget_in_keyspace(self.session, self.state, removals)

    def remnants(self, names: LookedFor) -> Iterator[Remnant]:
        """Find names in rows. Reports, without looking, whether the nodes' files may still hold deleted ones."""
        return in_keyspace(self.session, names)

    def check(self) -> None:
        """Raise `WorldError` if tables are missing."""
        check_tables(self._place, self.session.types())

    def names(self) -> list[str]:
        """Return the names of the tables that exist; raises `WorldError`."""
        types = self.session.types()
        return [name for name, stored in _STORED.items() if stored in types]

    def has(self, table: str) -> bool:
        """Check whether a table exists; raises `WorldError`."""
        return _STORED.get(table) in self.session.types()

    def identity(self, table: str) -> Hashable:
        """Return the server's UUID of the table, which is new for each table created."""
        cql = "SELECT id FROM system_schema.tables WHERE keyspace_name = ? AND table_name = ?"
        found = list(self.session.rows(cql, (self._place.keyspace, _STORED.get(table, ""))))
        return str(found[0].id) if found else None

    def table(self, name: str) -> TableReader:
        """Open a table for reading; raises `WorldError` if it does not exist."""
        stored = _STORED.get(name)
        types = self.session.types()
        if stored is None or stored not in types:
            raise WorldError(f"{self.address} has no table {name}")
        check_tables(self._place, types)
        columns = types[stored]
        if stored == POSTS:
            sizes = [int(columns[it].removeprefix("vector<float,").removesuffix(">")) for it in _VECTORS]
            declared = posts_table(*sizes)
            custom = custom_as_columns(self.session)
            names = {it.name for it in custom}
            known = [it for it in declared.columns if it.name in columns or it.name == "current_cluster"]
            kept = (*(it for it in known if it.name not in names), *custom)
            return CassandraTable(self.session, name, Table(POSTS, declared.key, kept))
        declared = CLUSTERS if stored == CLUSTERS.name else THUMBNAILS
        kept = tuple(it for it in declared.columns if it.name in columns)
        return CassandraTable(self.session, name, Table(stored, declared.key, kept))

    def open_for_writing(self, table: Table, mark: Mark, part: int, memory_days: float) -> WrittenTable:
        """Return the writer of one part of a table; raises `WorldError` if the table is missing or incompatible."""
        if table.name == CLUSTERS.name:
            return CassandraClusters(self.session, table, mark, part)
        if table.name == POSTS:
            days = self._settings.store_retention_days
            return CassandraPosts(self.session, table, mark, part, self.state, memory_days, days)
        raise UnsupportedError(f"{self.address} cannot store the table {table.name}: use a store in a folder")

    def part_names(self, table: str) -> list[str]:
        """Return the names of a table's parts.

        Every table has `PARTS`, so that each worker writes. Names leave out the hosts, so that they stay the same when
        an address lists other contact points.
        """
        return [f"{SCHEME}{self._place.keyspace}/{table}/{part}" for part in range(PARTS)]
