"""A node that is killed, silent or gone amid writes: all is there once, or one line says what is wrong."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.cassandra.cassandra_store import CassandraStore
from connectors.sinks.record_table import POSTS
from core.errors import WorldError
from tests.cassandra_node import CassandraNode
from tests.connectors.cassandra.stores import ids, keep_over_kills, lying, made_store, parts, row
from tests.factories import make_removal


@pytest.fixture
def store(cassandra_node: CassandraNode, tmp_path: Path) -> Iterator[CassandraStore]:
    made = made_store(cassandra_node, tmp_path, store_timeout_seconds=90)
    keep_over_kills(made, durable=True)
    yield made
    keep_over_kills(made, durable=False)
    made.close()


@pytest.mark.slow
def test_a_node_that_is_killed_amid_writes_and_comes_back_has_all_once(
    store: CassandraStore, cassandra_node: CassandraNode
) -> None:
    writers = parts(store)
    batches = [[row(f"{batch}_{it}-a", batch) for it in range(20)] for batch in range(8)]
    some_written = threading.Event()
    failed: list[Exception] = []

    def write() -> None:
        try:
            for number, batch in enumerate(batches):
                writers.upsert(batch)
                writers.remove([make_removal(global_id=f"{number}_0-a")])
                some_written.set()
        except Exception as error:
            failed.append(error)

    writing = threading.Thread(target=write)
    writing.start()
    assert some_written.wait(60)
    cassandra_node.kill()
    cassandra_node.begin()
    writing.join(120)
    assert not writing.is_alive()
    assert failed == []
    wanted = {f"{batch}_{it}-a" for batch in range(8) for it in range(1, 20)}
    assert ids(store) == wanted
    assert {key for _, key in lying(store)} == wanted
    assert [key for _, key in store.table(POSTS).posts_of(7)].count("7_3-a") == 1  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_node_that_stays_away_is_one_line(cassandra_node: CassandraNode, tmp_path: Path) -> None:
    store = made_store(cassandra_node, tmp_path, store_timeout_seconds=1)
    writers = parts(store)
    cassandra_node.halt()
    with pytest.raises(
        WorldError, match=r"cannot be (read|asked or written): .*; tried for 1 s \(store_timeout_seconds\)"
    ) as told:
        writers.upsert([row("1-a")])
    assert "\n" not in str(told.value)
    cassandra_node.go_on()
    cassandra_node.start()
    parts(made_store(cassandra_node, tmp_path)).upsert([row("1-a")])  # the next run goes on
    assert ids(store) == {"1-a"}
