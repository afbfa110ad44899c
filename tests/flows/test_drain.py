"""SIGTERM and Ctrl-C: what is in flight is finished, the snapshot is taken, exit 0; the next run does the rest."""

import signal
import time
from pathlib import Path

import orjson

from tests.factories import Posts
from tests.flows.checks import check_outputs, check_resumed, outcomes
from tests.flows.runs import Flow, Row, free_port, in_words

NEVER = 600.0
"""Seconds between snapshots: the only one is that of the drain."""


def test_a_drained_run_leaves_the_rest_to_the_next(posts: Posts, uninterrupted: dict[str, Row], folder: Path) -> None:
    flow = Flow(folder, posts.path, seconds=0.02, to_store=True)
    first = flow.memewax(snapshot_seconds=NEVER)
    first.until(lambda: flow.lines() >= 20)
    assert "; stopped: run the same command again to resume" in first.drain(signal.SIGTERM)
    lines = flow.lines()
    assert 20 <= lines < len(posts.ids)
    assert flow.rows().keys() == flow.stored().keys()
    second = flow.memewax(snapshot_seconds=NEVER)
    assert "stopped" not in second.end()
    assert (first.summary["posts"], second.summary["posts"]) == (lines, len(posts.ids) - lines)
    check_resumed(flow, [first, second], [lines, len(posts.ids) - lines])
    check_outputs(flow, posts)
    assert outcomes(flow.rows()) == outcomes(uninterrupted)


def test_the_command_of_bytewax_drains(posts: Posts, uninterrupted: dict[str, Row], folder: Path) -> None:
    flow = Flow(folder, posts.path, seconds=0.02)
    first = flow.bytewax("-s", "600")
    first.until(lambda: flow.lines() >= 20)
    said = first.drain(signal.SIGINT)
    lines = flow.lines()
    assert 20 <= lines < len(posts.ids)
    assert f"memewax: {lines} records, " in said
    assert "; stopped: run the same command again to resume" in said
    second = flow.bytewax("-s", "1")
    assert f"memewax: {len(posts.ids) - lines} records, " in second.end()
    check_resumed(flow, [first, second], [lines, len(posts.ids) - lines])
    check_outputs(flow, posts)
    assert outcomes(flow.rows()) == outcomes(uninterrupted)


def test_two_processes_drain_on_ctrl_c(posts: Posts, folder: Path) -> None:
    flow = Flow(folder, posts.path, seconds=0.02)
    first = flow.memewax(processes=2, snapshot_seconds=NEVER)
    first.until(lambda: flow.lines() >= 20)
    first.drain(signal.SIGINT)
    lines = flow.lines()
    assert 20 <= lines < len(posts.ids)
    second = flow.memewax(processes=2, snapshot_seconds=NEVER)
    second.end()
    assert (first.summary["posts"], second.summary["posts"]) == (lines, len(posts.ids) - lines)
    check_outputs(flow, posts)


def test_one_process_that_is_asked_alone_ends_and_the_others_with_it(posts: Posts, folder: Path) -> None:
    """As a pod that is moved: the others read on for ever. When all are there again, they go on."""
    flow = Flow(folder, posts.path, follow=True, drain_seconds=0.5)
    addresses = ";".join(f"127.0.0.{number + 1}:{free_port()}" for number in range(2))
    running = [flow.bytewax("-s", "1", "-i", str(number), "-a", addresses) for number in range(2)]
    running[0].until(lambda: flow.lines() >= 20)
    running[1].process.send_signal(signal.SIGTERM)
    code, said = running[1].result()
    assert code == 0, said
    assert "other processes read on" in said
    assert running[0].result()[0] != 0
    flow.settings["follow"] = "false"
    for it in [flow.bytewax("-s", "1", "-i", str(number), "-a", addresses) for number in range(2)]:
        it.end()
    check_outputs(flow, posts)


def test_a_signal_that_comes_while_processes_start_is_not_lost(posts: Posts, folder: Path) -> None:
    flow = Flow(folder, posts.path, seconds=1)
    run = flow.memewax(processes=2)
    run.until(lambda: len(run.workers()) == 2)
    started = time.monotonic()
    run.drain()
    assert time.monotonic() - started < 60  # to the end it would take minutes
    assert flow.lines() < len(posts.ids)


def test_a_process_that_waits_for_others_ends_at_once(posts: Posts, folder: Path) -> None:
    """It is inside the engine, which hears of no signal."""
    flow = Flow(folder, posts.path)
    run = flow.bytewax("-s", "1", "-i", "0", "-a", f"127.0.0.1:{free_port()};127.0.0.1:{free_port()}")

    def states() -> list[str]:
        return [orjson.loads(it.read_bytes())["state"] for it in folder.glob("*/status/memes-0.json")]

    run.until(lambda: states() == ["running"])
    said = run.drain()
    assert in_words(said)[-1] == "memewax: asked to stop before the flow began: nothing was read"
    assert states() == ["ended"]
