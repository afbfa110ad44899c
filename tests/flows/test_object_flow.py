"""A flow that writes a bucket: nothing is lost or doubled, whoever is killed, and commands read what is there."""

import csv
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from connectors.control.control_log import FOLDER as CONTROL
from connectors.control.control_log import ControlLog
from connectors.control.request_kinds import COMPACT
from connectors.endpoints import open_store
from core.status import FOLDER as STATUS
from dataflows.all_settings import load_settings
from memewax.commands.app import app
from tests.factories import make_posts
from tests.flows.runs import Flow, in_words
from tests.object_server import ObjectServer, is_conditional


def asked(*words: str) -> str:
    done = CliRunner().invoke(app, [*words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_flow_that_is_killed_writes_each_post_once(
    object_server: ObjectServer, tmp_path: Path, processes: int
) -> None:
    posts = make_posts(tmp_path / "posts", 30)
    address = f"s3://{object_server.bucket()}/memes"
    state = tmp_path / "state"
    places = {"to": orjson.dumps([str(tmp_path / "out.jsonl"), address]).decode(), "state_dir": str(state)}
    flow = Flow(tmp_path, posts.path, seconds=0.02, store_writers=processes, **places)
    run = flow.memewax(processes)
    run.until(lambda: flow.lines() >= 8 or run.process.poll() is not None)
    run.kill()  # the workers notice, and end
    log = ControlLog(state / CONTROL)
    request = log.add(COMPACT.name, {})
    flow.memewax(processes).end()
    store = open_store(address, load_settings(), state)
    rows = store.table("posts").to_arrow(["global_id", "cluster", "current_cluster"]).to_pylist()
    assert sorted(it["global_id"] for it in rows) == sorted(posts.ids)
    assert all(it["current_cluster"] == it["cluster"] or it["cluster"] >= 0 for it in rows)
    assert set(flow.rows()) == posts.ids
    assert store.has("clusters")
    assert (state / STATUS).is_dir()
    assert log.result(request.number) is not None
    assert not list(tmp_path.rglob("*.lance"))

    count = asked("sql", "SELECT count(*) AS n FROM posts", "--store", address, "--json")
    assert orjson.loads(count) == {"n": len(posts.ids)}
    clusters = orjson.loads(asked("clusters", "list", "--store", address, "--json"))["clusters"]
    assert clusters
    asked("export", "posts", "--store", address, "--to", str(tmp_path / "posts.csv"))
    with (tmp_path / "posts.csv").open(newline="") as file:
        assert {it["global_id"] for it in csv.DictReader(file)} == posts.ids


def test_a_server_without_conditions_ends_a_run_before_it_reads_anything(
    object_server: ObjectServer, tmp_path: Path
) -> None:
    posts = make_posts(tmp_path / "posts", 3)
    address = f"s3://{object_server.bucket()}/memes"
    flow = Flow(tmp_path, posts.path, to=address, state_dir=str(tmp_path / "state"))
    with object_server.having(lambda it: "501 NotImplemented" if is_conditional(it) else None):
        code, said = flow.memewax().result()
    assert code == 3, said
    (line,) = in_words(said)
    assert f"memewax: the server of {address} refuses conditional writes" in line
    assert "secret-of-tests" not in said


@pytest.mark.slow
def test_a_server_that_goes_away_ends_a_run_in_a_line_and_the_next_goes_on(
    object_server: ObjectServer, tmp_path: Path
) -> None:
    posts = make_posts(tmp_path / "posts", 30)
    address = f"s3://{object_server.bucket()}/memes"
    places = {"to": orjson.dumps([str(tmp_path / "out.jsonl"), address]).decode(), "state_dir": str(tmp_path / "state")}
    flow = Flow(tmp_path, posts.path, seconds=0.02, store_timeout_seconds=1, **places)
    run = flow.memewax()
    run.until(lambda: flow.lines() >= 5 or run.process.poll() is not None)
    with object_server.having(lambda _: "500 Internal Error"):
        code, said = run.result()
    if code:  # else it had written all by then
        assert code == 3, said
        assert sum(f"{address} cannot be" in line or "the store cannot be" in line for line in in_words(said)) == 1, (
            said
        )
        flow.memewax().end()
    rows = open_store(address, load_settings()).table("posts").to_arrow(["global_id"]).to_pylist()
    assert sorted(it["global_id"] for it in rows) == sorted(posts.ids)
