"""`memewax forget`: what is named goes from everywhere that `--check` looks, and nothing else does."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import orjson
import pytest

from connectors.control.control_log import FOLDER, ControlLog
from connectors.control.request_kinds import FORGET
from connectors.store.posts_table import TABLE
from tests.factories import image_of
from tests.flows.runs import Flow
from tests.folders import ROOT

POSTS = 12


def name(number: int) -> str:
    return f"forgettable{number:04d}-a"


def caption(number: int) -> str:
    return f"caption of number {number:04d}"


def post(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "global_id": name(number),
        "url": f"image{number % 3}.png",
        "author": f"author{number % 4}",
        "source": "a",
        "desc": caption(number),
        "created_time": "2026-07-04T10:00:00Z",
        **fields,
    }


@pytest.fixture
def flow(tmp_path: Path) -> Flow:
    """A flow that has read posts, of which some have no image."""
    world = tmp_path / "world"
    world.mkdir()
    chance = np.random.default_rng(5)
    for number in range(3):
        (world / f"image{number}.png").write_bytes(image_of(number, chance))
    lines = [post(number) for number in range(POSTS)]
    lines += [post(POSTS, url="missing.png"), post(POSTS + 1, url="missing.png")]
    (world / "posts.jsonl").write_bytes(b"".join(orjson.dumps(it) + b"\n" for it in lines))
    flow = Flow(tmp_path / "flow", world / "posts.jsonl", to_store=True)
    flow.settings["to"] = str(flow.store)
    flow.memewax().end()
    return flow


def forget(flow: Flow, *words: str) -> tuple[int, str, dict[str, Any]]:
    options = ["--store", str(flow.store), "--recovery", str(flow.recovery), "--json"]
    ended = subprocess.run(
        [sys.executable, "-m", "tests.flows.cli", "forget", *options, *words],
        cwd=ROOT,
        env=flow.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stderr, orjson.loads(ended.stdout) if ended.stdout else {}


def ids_there(flow: Flow) -> set[str]:
    return set(lancedb.connect(flow.store).open_table(TABLE).to_arrow().column("global_id").to_pylist())


def left(flow: Flow, *words: str) -> list[dict[str, str]]:
    code, said, told = forget(flow, "--check", *words)
    assert code == (1 if told["left"] else 0), said
    places: list[dict[str, str]] = told["left"]
    return places


def test_what_is_forgotten_is_nowhere_and_all_else_is_there(flow: Flow) -> None:
    gone = (2, POSTS)  # the second is a dead letter
    named = [word for number in gone for word in ("--id", name(number), "--text", caption(number))]
    before = {it["place"] for it in left(flow, *named)}
    assert {"table posts", str(flow.dead)} <= before
    control = ControlLog(flow.store / FOLDER)
    control.add(FORGET.name, {"deletes": [{"global_id": name(2), "deleted": True}]})  # a command that was killed here
    code, said, _ = forget(flow, "--id", name(POSTS))
    assert code == 0, said
    places = left(flow, *named)
    assert not places, "\n".join(map(str, places)) + said
    assert set(flow.stored()) == {name(number) for number in range(POSTS + 2) if number not in gone}
    assert len(flow.dead_letters()) == 1


@pytest.mark.slow
def test_a_flow_that_runs_forgets_and_goes_on(flow: Flow) -> None:
    flow.settings["follow"] = "true"
    run = flow.memewax(2, 0.2)
    source = Path(flow.settings["source"])
    with source.open("ab") as file:
        file.write(orjson.dumps(post(POSTS + 2)) + b"\n")
    run.until(lambda: name(POSTS + 2) in ids_there(flow))
    code, said, told = forget(flow, "--author", "author2", "--source", "a", "--id", name(POSTS))
    assert (code, told["done"][:29]) == (0, "forgotten by the running flow"), said
    gone = {number for number in range(POSTS + 2) if number % 4 == 2} | {POSTS}
    assert ids_there(flow) == {name(number) for number in range(POSTS + 3)} - set(map(name, gone)) - {name(POSTS + 2)}
    with source.open("ab") as file:
        file.write(orjson.dumps(post(2)) + b"\n" + orjson.dumps(post(POSTS + 3)) + b"\n")
    run.until(lambda: name(POSTS + 3) in ids_there(flow))
    assert name(2) not in ids_there(flow)
    run.drain()
    named = [word for number in gone for word in ("--id", name(number), "--text", caption(number))]
    left_now = {it["place"].partition(",")[0] for it in left(flow, *named)}
    assert all("recovery" in it for it in left_now), left_now
    forget(flow, "--id", name(POSTS))
    assert left(flow, *named) == []
