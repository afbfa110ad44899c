"""Keyspaces for tests: one for all tests of a process, emptied before each, since to make one takes seconds."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors.cassandra.cassandra_place import CassandraPlace, CassandraSettings
from connectors.cassandra.cassandra_schema import custom_columns, quoted
from connectors.cassandra.cassandra_store import CassandraStore
from connectors.sinks.cluster_events import CLUSTERS
from connectors.sinks.record_table import POSTS, posts_table
from connectors.sinks.sink import Mark, Row
from tests.cassandra_node import CassandraNode
from tests.connectors.store import test_removed_posts as taken_back
from tests.connectors.store.dealt import Dealt

TABLE = posts_table(8, 8)
JOINED = "2026-07-04T14:00:00.000+00:00"
TIME = datetime(2026, 7, 4, 12, tzinfo=UTC)
_addresses: dict[int, str] = {}


def made_store(node: CassandraNode, state: Path, **settings: Any) -> CassandraStore:
    """A store of no rows in a keyspace that has all tables and indexes."""
    settings = {"store_timeout_seconds": 20.0, **settings}
    address = _addresses.get(node.port) or node.address()
    store = CassandraStore(CassandraPlace.of(address), CassandraSettings(**settings), state)
    if node.port not in _addresses:
        store.create([TABLE, CLUSTERS])
        keep_over_kills(store, durable=False)  # rows that the server has in memory alone are emptied in half the time
        _addresses[node.port] = address
    for name in custom_columns(store.session):
        store.session.define(f"ALTER TABLE {POSTS} DROP {quoted(name)}")
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: store.session.define(f"TRUNCATE {name}"), store.session.types()))
    return store


def keep_over_kills(store: CassandraStore, *, durable: bool) -> None:
    """Whether the node writes down each row at once, as it does by itself."""
    place = store.address.rpartition("/")[2]
    store.session.define(f'ALTER KEYSPACE "{place}" WITH durable_writes = {str(durable).lower()}')


def parts(store: CassandraStore, marks: Sequence[Mark] | None = None) -> Dealt:
    """The writers of posts."""
    return Dealt(store, TABLE, marks)


def row(global_id: str, cluster: int = 0, revision: int = 1, joined: str = JOINED, **fields: Any) -> Row:
    """A row of posts, as a flow makes it."""
    return taken_back.row(global_id, cluster, revision, **fields) | {"joined_time": joined}


ROWS = [it | {"joined_time": JOINED} for it in taken_back.ROWS]


def ids(store: CassandraStore, table: str = POSTS) -> set[str]:
    """Of all rows that readers see."""
    there = store.table(table).to_arrow(["global_id"]).column(0).to_pylist()
    assert len(there) == len(set(there))
    return set(there)


def lying(store: CassandraStore) -> list[tuple[str, Any]]:
    """All keys of posts in tables besides that of posts."""
    found = []
    for name in ("posts_by_cluster", "posts_by_hour", "posts_by_name"):
        found += [(name, it.global_id) for it in store.session.rows(f"SELECT global_id FROM {name}")]
    return found


def current(store: CassandraStore) -> dict[str, int]:
    """The cluster of each post as of now."""
    found = store.table(POSTS).to_arrow(["global_id", "current_cluster"]).to_pylist()
    return {it["global_id"]: it["current_cluster"] for it in found}
