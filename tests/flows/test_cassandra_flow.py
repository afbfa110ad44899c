"""A whole flow into Cassandra: killed, and its node killed, nothing is lost and nothing doubled."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from connectors.cassandra.cassandra_place import CassandraPlace, CassandraSettings
from connectors.cassandra.cassandra_store import CassandraStore
from connectors.sinks.cluster_events import CLUSTERS
from connectors.sinks.record_table import POSTS, posts_table
from core.settings import as_variable
from tests.brokers import unused_address
from tests.cassandra_node import CassandraNode
from tests.factories import GRID, Posts
from tests.flows.checks import outcomes
from tests.flows.runs import Flow, Row, unique
from tests.folders import ROOT


def into(folder: Path, posts: Posts, address: str, **settings: object) -> Flow:
    flow = Flow(folder, posts.path, seconds=0.01, **settings)
    flow.settings["to"] = as_variable([str(flow.out), address])
    return flow


def stored(store: CassandraStore) -> dict[str, Row]:
    table = store.table(POSTS)
    return unique(table.to_arrow(table.schema.names).to_pylist())


@pytest.mark.parametrize(
    ("processes", "kills"), [(1, 1), *(pytest.param(it, 2, marks=pytest.mark.slow) for it in (1, 2))]
)
def test_killed_with_its_node_killed_too_nothing_is_lost_or_doubled(
    posts: Posts, uninterrupted: dict[str, Row], folder: Path, cassandra_node: CassandraNode, processes: int, kills: int
) -> None:
    address = cassandra_node.address()
    store = CassandraStore(CassandraPlace.of(address), CassandraSettings(), folder / "state")
    store.create([posts_table(GRID * GRID * 3, 8), CLUSTERS], has_vector_indexes=False)
    flow = into(folder, posts, address, store_timeout_seconds=90, state_dir=folder / "state")
    for lines in (1, len(posts.ids) // 3)[2 - kills :]:
        run = flow.worker() if processes == 1 else flow.memewax(processes)
        run.until(lambda lines=lines: flow.lines() >= lines)  # type: ignore[misc]
        for worker in run.workers():
            worker.kill()
        run.kill()
    run = flow.worker() if processes == 1 else flow.memewax(processes)
    run.until(lambda: flow.lines() >= len(posts.ids) // 2 or run.process.poll() is not None)
    cassandra_node.kill()
    cassandra_node.begin()
    run.end()
    cassandra_node.start()
    store.close()
    found = stored(store)
    assert found.keys() == posts.ids
    assert outcomes(found) == outcomes(flow.rows())
    if processes == 1:
        assert outcomes(found) == outcomes(uninterrupted)
    listed = {row.global_id for row in store.session.rows("SELECT global_id FROM posts_by_hour")}
    assert listed == posts.ids
    if processes == 1:
        check_forgetting(flow, store, address, min(posts.template))
    store.close()


def check_forgetting(flow: Flow, store: CassandraStore, address: str, name: str) -> None:
    """It goes by the flow of the recovery folder, which runs for that alone; what nobody can look into is named."""
    before = stored(store).keys()

    def forget(*words: str) -> tuple[int, dict[str, Any]]:
        command = ["forget", "--store", address, "--recovery", str(flow.recovery), "--json", "--id", name, *words]
        ended = subprocess.run(
            [sys.executable, "-m", "tests.flows.cli", *command],
            cwd=ROOT,
            env=flow.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode in (0, 1), ended.stderr
        return ended.returncode, orjson.loads(ended.stdout)

    assert forget()[1]["done"] == "forgotten"
    assert stored(store).keys() == before - {name}
    code, told = forget("--check")
    places = {it["place"]: it["until"] for it in told["left"]}
    assert code == 1
    assert places.keys() == {str(flow.out), "table changes_by_hour", f"files of the nodes of {store}"}
    assert places[f"files of the nodes of {store}"].startswith("until compaction")


def test_a_node_that_is_not_there_is_one_line_before_a_model_is_loaded(posts: Posts, folder: Path) -> None:
    flow = into(folder, posts, f"cassandra://{unused_address()}/memes", store_timeout_seconds=0.5)
    code, said = flow.memewax().result()
    assert code == 3, said
    (line,) = [it for it in said.splitlines() if it.startswith("memewax:")]
    assert "does not answer" in line
    assert "tried for 0.5 s (store_timeout_seconds)" in line
    assert "Traceback" not in said
    assert not flow.lines()


def test_a_keyspace_without_tables_is_one_line_with_the_command(
    posts: Posts, folder: Path, cassandra_node: CassandraNode
) -> None:
    address = cassandra_node.address()
    code, said = into(folder, posts, address).memewax().result()
    assert code == 3, said
    told = f"memewax: {address} holds no tables of memewax: create them with `memewax store create '{address}'`"
    assert told in said.splitlines()
