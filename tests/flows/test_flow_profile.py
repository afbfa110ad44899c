"""`memewax profile` at real processes: one that runs already, and one that is run for it."""

import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import orjson
import pytest

from core.errors import SettingsError, WorldError
from core.profiled import WAITING
from memewax.commands.profile_command import _ask, profile
from tests.core.test_status import put, said
from tests.factories import Posts
from tests.flows.runs import Flow
from tests.flows.test_flow_health import get, port

__all__ = ["port"]


def test_a_flow_that_runs_tells_where_its_time_goes(
    posts: Posts, folder: Path, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    flow = Flow(folder, posts.path, seconds=0.3, health_port=port)
    run = flow.memewax(2, snapshot_seconds=600)  # else one waits for the other at the end of each epoch
    run.until(lambda: all(get(it, "/readyz")[0] == 200 for it in (port, port + 1)) and flow.lines() > 0, 0.05)
    profile(store=folder / "recovery.state", seconds=1.0, flame=folder / "flame.svg", as_json=True)
    report = orjson.loads(capsys.readouterr().out)
    assert [it["process"] for it in report["processes"]] == [0, 1]
    for it in report["processes"]:
        sections = {section["section"]: section for section in it["sections"]}
        together = sum(section["seconds"] for section in it["sections"])
        assert together == pytest.approx(it["workers"] * it["seconds"], rel=0.05)
        assert it["seconds"] >= 1.0
        assert sections["embedding"]["elsewhere"] > sections["embedding"]["computing"], "it sleeps"
        assert WAITING in sections
    assert "The flow is bounded by" in report["bounded_by"]
    assert ET.parse(folder / "flame.svg").getroot().tag.endswith("svg")
    profile(port=[port], seconds=0.2)
    told = capsys.readouterr().out
    assert "embedding" in told
    assert "total" in told
    run.kill()


def test_what_ends_meanwhile_gives_what_there_is(posts: Posts, folder: Path, port: int) -> None:
    flow = Flow(folder, posts.path, seconds=0.02, health_port=port)
    run = flow.worker()
    run.until(lambda: get(port, "/readyz")[0] == 200, 0.05)
    start = time.monotonic()
    found = _ask(port, 500)
    assert 0 < found.seconds < time.monotonic() - start + 1
    run.end()


def test_who_cannot_be_asked_is_a_line(tmp_path: Path, port: int) -> None:
    with pytest.raises(SettingsError, match="name one thing"):
        profile(store=tmp_path, port=[port])
    with pytest.raises(WorldError, match=f"port {port}: .*is this the health port of a flow"):
        profile(port=[port])
    put(tmp_path / "status", said(state="ended"))
    with pytest.raises(WorldError, match="no running flow writes"):
        profile(store=tmp_path)


def test_of_several_flows_of_a_store_one_is_to_be_named(tmp_path: Path) -> None:
    told = {"written": datetime.now(UTC).isoformat(), "host": socket.gethostname()}
    put(tmp_path / "status", *({**said(), **told, "flow": it} for it in ("memes", "similarity")))
    with pytest.raises(WorldError, match="several running flows write"):
        profile(store=tmp_path)


def test_a_process_of_another_machine_or_without_a_port_is_a_line(tmp_path: Path) -> None:
    status = {**said(), "written": datetime.now(UTC).isoformat()}
    put(tmp_path / "status", status)
    with pytest.raises(WorldError, match="the flow runs on here"):
        profile(store=tmp_path)
    put(tmp_path / "status", {**status, "host": socket.gethostname()})
    with pytest.raises(WorldError, match="has no health port"):
        profile(store=tmp_path)
