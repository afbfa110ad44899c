"""What `memewax run` does when a process of it dies, or it dies itself."""

import signal
import time
from pathlib import Path

import psutil
import pytest

from connectors.writer_locks import all_locked
from core.errors import BusyError, WorldError
from memewax.commands import recovery
from memewax.commands.recovery import is_prepared, lock_recovery, prepare_recovery
from tests.factories import Posts
from tests.flows.checks import check_outputs
from tests.flows.runs import Flow, in_words


def test_a_dead_process_is_one_line(posts: Posts, folder: Path) -> None:
    flow = Flow(folder, posts.path, seconds=0.02)
    run = flow.memewax(2)
    run.until(lambda: flow.lines() >= 20)
    others = run.workers()
    others.pop(1).kill()
    started = time.monotonic()
    code, said = run.result()
    assert time.monotonic() - started < 30
    assert code == 1
    assert in_words(said) == [
        "memewax: a process of the flow was killed by SIGKILL; run the same command again to resume"
    ]
    assert not any(it.is_running() for it in others)


def test_a_process_that_dies_before_it_reads_ends_the_others(posts: Posts, folder: Path) -> None:
    """They would wait for it for ever."""
    flow = Flow(folder, posts.path)
    run = flow.memewax(2)
    run.until(lambda: len(run.workers()) == 2)
    run.workers()[1].kill()
    code, said = run.result()
    assert (code, len(in_words(said))) == (1, 1)
    assert signal.Signals.SIGKILL.name in said


def test_the_command_killed_leaves_no_process_behind(posts: Posts, folder: Path) -> None:
    flow = Flow(folder, posts.path, seconds=0.5)
    run = flow.memewax(2)
    run.until(lambda: flow.lines() >= 2)
    workers = run.workers()
    with pytest.raises(BusyError), all_locked({flow.out: "taken"}, wait=0):
        pytest.fail("a second flow could write")
    run.kill()
    assert not psutil.wait_procs(workers, timeout=15)[1]  # to the end it would take longer
    with all_locked({flow.out: "taken"}, wait=5):
        pass  # the lock went with the processes
    flow.seconds = 0
    flow.memewax(2).end()
    check_outputs(flow, posts)


def test_a_second_run_does_not_touch_what_a_first_one_works_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "PATIENCE", 0.3)
    with lock_recovery(tmp_path), pytest.raises(WorldError, match=r"in use.*--recovery"), lock_recovery(tmp_path):
        pass
    with lock_recovery(tmp_path):
        pass


def test_a_recovery_folder_left_half_made_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One may be killed here too."""
    replace = Path.replace
    moved = 0

    def killed(self: Path, target: Path) -> Path:
        nonlocal moved
        moved += 1
        if moved == 3:  # two parts are there already
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare_recovery(tmp_path)
    assert list(tmp_path.glob("part-*"))
    assert not is_prepared(tmp_path)
    prepare_recovery(tmp_path)
    assert is_prepared(tmp_path)
    assert len(list(tmp_path.iterdir())) == recovery.RECOVERY_PARTS
