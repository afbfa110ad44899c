"""Status files: what is written is read, and what is no status is a line."""

import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from core import drain
from core.counts import NUMBERS
from core.status import MAX_BYTES, STALE_SECONDS, FlowStatus, ProcessStatus, read_status
from core.status_writer import ALSO_TO, FlowFacts, StatusWriter, shown
from core.telemetry import POSTS, SHARE_KEPT, configure_logging

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def said(process: int = 0, processes: int = 1, seconds_ago: float = 1, **others: Any) -> dict[str, Any]:
    """What a process says."""
    written = NOW - timedelta(seconds=seconds_ago)
    made = ProcessStatus(
        flow="memes",
        process=process,
        processes=processes,
        pid=1,
        host="here",
        started=NOW - timedelta(hours=1),
        written=written,
        **{"state": "running", **others},
    )
    return made.model_dump(mode="json")


def put(folder: Path, *statuses: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    for it in statuses:
        (folder / f"{it['flow']}-{it['process']}.json").write_bytes(orjson.dumps(it))


def read(folder: Path) -> FlowStatus:
    report = read_status(folder, NOW)
    assert report.problems == ()
    (flow,) = report.flows
    return flow


@pytest.fixture
def writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StatusWriter:
    monkeypatch.delenv(ALSO_TO, raising=False)
    SHARE_KEPT.set(1)  # other tests of this process may have sampled
    return StatusWriter(FlowFacts("memes", (tmp_path / "status",), ("posts.jsonl",), ("store",), 0.5), 1, 2, 3031)


def written(tmp_path: Path) -> ProcessStatus:
    (flow,) = read_status(tmp_path / "status").flows
    return next(it for it in flow.processes if it.process == 1)


def test_a_process_says_what_it_is_and_counts(writer: StatusWriter, tmp_path: Path) -> None:
    writer.write()
    before = written(tmp_path)
    POSTS.inc(7)
    writer.ready({"text": "ppocr"})
    found = written(tmp_path)
    assert (before.state, found.state) == ("starting", "running")
    assert found.run_counts.posts - before.run_counts.posts == 7
    assert found.rates["posts"] > 0
    assert (found.processes, found.health_port, found.share_kept) == (2, 3031, 0.5)
    assert (found.sources, found.sinks, found.models) == (("posts.jsonl",), ("store",), {"text": "ppocr"})
    assert found.pid == os.getpid()
    assert found.memory_bytes > 1e6
    assert found.versions.keys() == {"memewax", "python", "bytewax"}
    assert found.queues.keys() == {"fetch", "flow", "join", "retry", "store"}
    assert found.counts.keys() == set(NUMBERS)
    assert [it.name for it in (tmp_path / "status").iterdir()] == ["memes-1.json"]


def test_it_says_so_while_it_drains_and_how_it_ended(
    writer: StatusWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.ready({})
    monkeypatch.setattr(drain, "is_stop_requested", lambda: True)
    writer.write()
    assert written(tmp_path).state == "draining"
    writer.end("the disk is full" * 100)
    writer.end()
    found = written(tmp_path)
    assert found.state == "failed"
    assert found.why.startswith("the disk is full")
    assert len(found.why) <= 300


def test_it_writes_once_a_second_until_its_end(writer: StatusWriter, tmp_path: Path) -> None:
    writer.start()
    first, again = written(tmp_path).written, threading.Event()
    for _ in range(100):
        if written(tmp_path).written > first:
            break
        again.wait(0.1)
    else:
        pytest.fail("it was written once only")
    writer.end()
    assert written(tmp_path).state == "ended"


def test_a_disk_that_refuses_is_logged_once_and_ends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging()
    (tmp_path / "file").touch()
    writer = StatusWriter(FlowFacts("memes", (tmp_path / "file" / "status",)))
    writer.write()
    writer.write()
    assert capsys.readouterr().err.count("status cannot be written") == 1


def test_whatever_goes_wrong_while_it_looks_ends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()

    def broken(_: ProcessStatus) -> None:
        raise ZeroDivisionError("of\nnothing")

    writer = StatusWriter(FlowFacts("memes", (tmp_path,)), look=broken)
    writer.write()
    writer.write()
    assert capsys.readouterr().err.count("status cannot be written") == 1
    assert not list(tmp_path.iterdir())


def test_whoever_started_it_is_told_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ALSO_TO, str(tmp_path / "also"))
    StatusWriter(FlowFacts("memes", (tmp_path / "status",))).write()
    assert read_status(tmp_path / "also").flows == read_status(tmp_path / "status").flows


def test_a_run_with_fewer_processes_removes_what_others_left(tmp_path: Path) -> None:
    folder = tmp_path / "status"
    put(folder, *(said(number, 4, 100, state="ended") for number in range(4)))
    put(folder, {**said(3, 4), "flow": "similarity"})
    writer = StatusWriter(FlowFacts("memes", (folder,)), 0, 2)
    writer.start()
    writer.end()
    assert sorted(it.name for it in folder.iterdir()) == ["memes-0.json", "memes-1.json", "similarity-3.json"]


def test_what_a_run_with_more_processes_left_is_not_of_this_one(tmp_path: Path) -> None:
    put(tmp_path / "status", *(said(number, 4, 3) for number in (2, 3)), *(said(number, 2) for number in range(2)))
    flow = read(tmp_path / "status")
    assert [it.process for it in flow.processes] == [0, 1]
    assert (flow.state, flow.missing) == ("running", ())


def test_a_process_that_was_killed_says_nothing_more(tmp_path: Path) -> None:
    put(tmp_path / "status", said(0, 2), said(1, 2, STALE_SECONDS + 1))
    half = read(tmp_path / "status")
    assert (half.is_running, half.missing, half.silent_seconds) == (True, (1,), 0.0)
    assert half.line == "memes: running; missing process 1"
    put(tmp_path / "status", said(0, 2, 75))
    gone = read(tmp_path / "status")
    assert (gone.state, gone.silent_seconds) == ("gone", STALE_SECONDS + 1)
    assert "not running: it ended 11 s ago without reporting why; start it again" in gone.line


def test_one_that_came_to_its_end_says_when(tmp_path: Path) -> None:
    put(tmp_path / "status", said(0, 2, 4000, state="ended"), said(1, 2, 3600, state="ended"))
    flow = read(tmp_path / "status")
    assert (flow.state, flow.is_running, flow.silent_seconds) == ("ended", False, 3600)
    assert flow.line == "memes: not running: it finished 60 min ago"


def test_why_it_failed_is_told_in_one_harmless_line(tmp_path: Path) -> None:
    put(tmp_path / "status", said(state="failed", why="no\nroom \x1b[31m"))
    assert read(tmp_path / "status").line == "memes: not running: it failed 1 s ago: no room \ufffd[31m"


def test_counts_are_sums_over_processes(tmp_path: Path) -> None:
    failures = [{"stage": "fetch", "kind": "HTTP 404", "count": 2}]
    each = {"counts": {"posts": 5, "clusters": 3, "unheard_of": 1}, "failures": failures, "lag": 1}
    put(tmp_path / "status", said(0, 2, **each), said(1, 2, **each))
    counts = read(tmp_path / "status").counts
    assert (counts.posts, counts.clusters, counts.reasons) == (10, 3, {("fetch", "HTTP 404"): 4})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "not JSON"),
        (orjson.dumps(said())[:200], "not JSON"),
        (b"\xff\x00\x1b]0;x\x07", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b" " * (MAX_BYTES + 1), "more than 1,048,576 bytes"),
        (b"[1]", "not a status"),
        (b"{}", "not a status (flow: Field required)"),
        (orjson.dumps({**said(), "version": 2}), "of version 2, but this memewax reads version 1"),
        (orjson.dumps({**said(), "version": "1\n"}), "not a status (version: "),
        (orjson.dumps({**said(), "counts": {"posts": "many"}}), "not a status (counts.posts: "),
        (orjson.dumps({**said(), "written": "2026-11-28"}), "not a status (written: "),
        (orjson.dumps({**said(), "flow": "\x1b[31mother"}), "its content is of"),
        (orjson.dumps(said(seconds_ago=-86_400)), "in the future"),
    ],
)
def test_what_is_no_status_is_one_line(content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "memes-0.json").write_bytes(content)
    report = read_status(tmp_path, NOW)
    assert report.flows == ()
    (line,) = report.problems
    assert told in line
    assert line.isprintable()
    assert len(line) < 500


def test_one_broken_file_hides_no_other(tmp_path: Path) -> None:
    put(tmp_path / "status", said(0, 2))
    (tmp_path / "status" / "memes-1.json").write_bytes(b"{")
    (tmp_path / "status" / "memes-0.json.new").write_bytes(b"{")
    (tmp_path / "status" / "memes-2.json").mkdir()
    report = read_status(tmp_path / "status", NOW)
    assert [it.missing for it in report.flows] == [(1,)]
    assert len(report.problems) == 2


def test_a_folder_that_is_not_there_holds_none(tmp_path: Path) -> None:
    assert read_status(tmp_path / "status") == read_status(tmp_path)


def test_addresses_are_shown_without_secrets() -> None:
    given = ["./store", "kafka://a:1,b:2/posts", "feed:https://me:pw@host/x?token=1", "https://host"]
    assert shown(given) == ("./store", "kafka://a:1,b:2/posts", "feed:https://host/x", "https://host")
