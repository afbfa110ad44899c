"""From one process to two and back: every post once, and the state of clusterer and join goes along."""

from pathlib import Path

from tests.factories import Posts
from tests.flows.checks import check_clusters, check_outputs
from tests.flows.runs import Flow, Running, wait_for


def test_from_one_process_to_two_and_back(posts: Posts, folder: Path) -> None:
    """A post that comes again after a change is known, and a cluster that was there before keeps its id."""
    flow = Flow(folder, posts.path, seconds=0.02)
    every = len(posts.ids)
    for processes, lines, stop in ((1, every // 3, Running.kill), (2, every * 2 // 3, Running.drain)):
        run = flow.memewax(processes)
        wait_for(flow, run, lines)
        stop(run)
    drained = flow.lines()
    last = flow.worker()
    last.end()
    assert last.counts().posts == every - drained
    check_outputs(flow, posts)
    check_clusters(flow.rows(), posts)
