"""What real processes of a flow say of themselves, while they run and after they were killed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.errors import WorldError
from core.status import FOLDER, STALE_SECONDS, FlowStatus, StatusReport, read_status
from memewax.commands.flow_status import print_status, status_in
from tests.factories import Posts
from tests.flows.runs import Flow


def of(report: StatusReport) -> FlowStatus:
    assert report.problems == ()
    (flow,) = report.flows
    return flow


def test_each_process_has_a_file_and_one_that_is_killed_is_gone(
    posts: Posts, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flow = Flow(folder, posts.path, seconds=0.02, to_store=True)
    run = flow.memewax(2)
    run.until(lambda: flow.lines() >= 20)
    run.until(lambda: read_status(flow.store / FOLDER).flows[0].counts.joined > 0, 0.1)
    running = of(status_in(flow.store))
    assert (running.state, running.missing) == ("running", ())
    assert [it.process for it in running.processes] == [0, 1]
    assert {it.pid for it in running.processes} == {it.pid for it in run.workers()}
    assert running.processes[0].models["embedding"] == "pixel-grid"
    assert all(it.sources == (str(posts.path),) for it in running.processes)
    print_status(flow.store, as_json=False)
    assert capsys.readouterr().out.startswith("memes: running\n")
    for worker in run.workers():
        worker.kill()
    run.result()
    later = datetime.now(UTC) + timedelta(seconds=STALE_SECONDS + 1)
    assert of(read_status(flow.store / FOLDER, later)).state == "gone"

    flow.seconds = 0
    again = flow.memewax(1)
    again.end()
    ended = of(status_in(flow.store))
    assert (ended.state, len(ended.processes)) == ("ended", 1)
    assert ended.counts.joined == again.summary["joined"]
    assert ended.counts.dead_letters == again.summary["dead_letters"]
    assert ended.processes[0].epochs.ended > 0
    assert (flow.store / FOLDER / "memes-1.json").exists() is False


def test_a_flow_without_a_store_that_fails_says_why(posts: Posts, folder: Path) -> None:
    flow = Flow(folder, posts.path)
    flow.worker(snapshot_seconds=600).end()
    flow.out.unlink()
    assert flow.bytewax("-s", "10").result()[0] == 3
    (status,) = of(read_status(folder / "out.state" / FOLDER)).processes
    assert (status.state, "out.jsonl" in status.why) == ("failed", True)
    with pytest.raises(WorldError, match="memes: not running: it failed"):
        print_status(folder / "out.state", as_json=True)


def test_where_no_flow_has_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="no flow has written there"):
        status_in(tmp_path)
