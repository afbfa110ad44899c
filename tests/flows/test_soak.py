"""Many kills at random moments: `just soak`, not part of every run of the tests."""

import random
import time
from pathlib import Path

import psutil
import pytest

from tests.factories import Posts, make_posts
from tests.flows.checks import check_clusters, check_outputs, outcomes
from tests.flows.runs import Flow, Running, in_words, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Posts:
    return make_posts(tmp_path_factory.mktemp("many") / "images", 600)


def test_thirty_kills_at_random_moments_change_nothing(many: Posts, tmp_path: Path) -> None:
    """Some kills come before the process reads, some amid its start, most amid its work."""
    whole = Flow(tmp_path / "whole", many.path)
    whole.worker(snapshot_seconds=600).end()
    chance = random.Random(1)
    flow = Flow(tmp_path / "killed", many.path, seconds=0.01, to_store=True)
    for kill in range(30):
        goal = flow.lines() + chance.choice([0, 1, 10, 30])
        run = flow.worker(snapshot_seconds=chance.choice([0, 0.05, 0.3]))
        if kill % 5 == 0:
            time.sleep(chance.uniform(0, 3))
        else:
            wait_for(flow, run, goal + 1)
            time.sleep(chance.expovariate(10))
        run.kill()
        assert run.process.returncode in {0, -9}
    flow.worker().end()
    check_outputs(flow, many)
    assert outcomes(flow.rows()) == outcomes(whole.rows())


def test_kills_of_anything_with_any_number_of_processes(many: Posts, tmp_path: Path) -> None:
    """The command, or one of its processes, with one to three of them, now and then a drain."""
    chance = random.Random(2)
    flow = Flow(tmp_path, many.path, seconds=0.02, to_store=True)

    def kill(run: Running) -> None:
        victims = [psutil.Process(run.process.pid), *run.workers()]
        chance.choice(victims).kill()

    for _ in range(15):
        goal = flow.lines() + chance.choice([1, 10, 30])
        run = flow.memewax(chance.randint(1, 3), chance.choice([0.1, 0.3]))
        wait_for(flow, run, goal + 1)
        time.sleep(chance.expovariate(5))
        if chance.random() < 0.2:
            run.drain()
        elif run.process.poll() is None:
            kill(run)
        code, said = run.result()
        assert code in {0, 1, -9}, said
        assert len(in_words(said)) <= 1, said
    flow.memewax(2).end()
    check_outputs(flow, many)
    check_clusters(flow.rows(), many)
