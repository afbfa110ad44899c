"""`kill -9`, then the same command: nothing lost, nothing doubled, clusters as if nothing had happened."""

from collections.abc import Callable
from pathlib import Path

from tests.factories import Posts
from tests.flows.checks import check_outputs, check_resumed, outcomes
from tests.flows.runs import Flow, Row, Running


def test_killed_wherever_it_is_it_ends_as_if_it_had_not_been(
    posts: Posts, uninterrupted: dict[str, Row], folder: Path
) -> None:
    flow = Flow(folder, posts.path, seconds=0.01, to_store=True)
    every = len(posts.ids)
    runs: list[Running] = []

    def kill_when(reached: Callable[[], bool]) -> None:
        run = flow.worker()
        run.until(reached)
        run.kill()
        runs.append(run)

    kill_when(lambda: flow.lines() >= 1)  # before there is a snapshot
    before = flow.frontier()
    kill_when(lambda: flow.frontier() > before)  # right after a snapshot
    kill_when(lambda: flow.lines() >= every // 2)
    kill_when(lambda: flow.lines() >= every)
    runs.append(flow.worker())
    runs[-1].end()
    check_outputs(flow, posts)
    assert outcomes(flow.rows()) == outcomes(uninterrupted)
    posts_read = [run.counts().posts for run in runs]
    check_resumed(flow, runs, posts_read)
    assert posts_read[-1] < every // 2  # nearly all had been snapshotted
