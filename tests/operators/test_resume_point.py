"""Snapshots of epochs that a killed execution did not finish: Bytewax would restore them later."""

import pickle
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSink, TestingSource, run_main

from core.errors import WorldError
from core.launch import Launch
from operators.recovered import states_of
from operators.recovery_places import parts_of
from operators.recovery_progress import Execution, Frontier, RecoveryProgress, progress_of
from operators.resume_point import prepare_resume
from tests.flows.runs import free_port
from tests.folders import ROOT

PARTS = 4
Snap = tuple[str, str, int]


def run(folder: Path, keys: list[str]) -> list[tuple[str, int]]:
    """Count keys by a flow that takes a snapshot after each, and resumes."""
    counted: list[tuple[str, int]] = []
    flow = Dataflow("counting")
    keyed = op.key_on("key", op.input("keys", flow, TestingSource(keys)), str)
    counts = op.stateful_map("count", keyed, lambda state, _: ((state or 0) + 1, (state or 0) + 1))
    op.output("out", counts, TestingSink(counted))
    run_main(flow, epoch_interval=timedelta(0), recovery_config=RecoveryConfig(folder, timedelta(0)))
    return counted


def snaps(folder: Path) -> set[Snap]:
    found: set[Snap] = set()
    for part in parts_of(folder):
        with closing(sqlite3.connect(part)) as database:
            found |= set(database.execute("SELECT step_id, state_key, snap_epoch FROM snaps"))
    return found


def leave_behind(folder: Path, key: str, epoch: int, count: int) -> None:
    """Write a snapshot as an execution does that is killed before it finishes the epoch."""
    (step,) = {step for step, name, _ in snaps(folder) if name == "a"}
    with closing(sqlite3.connect(folder / "part-0.sqlite3")) as database, database:
        row = (step, key, epoch, pickle.dumps(count))
        database.execute("INSERT INTO snaps (step_id, state_key, snap_epoch, ser_change) VALUES (?, ?, ?, ?)", row)


@pytest.mark.parametrize("prepared", [True, False])
def test_a_state_of_an_epoch_that_was_not_finished_is_never_restored(tmp_path: Path, *, prepared: bool) -> None:
    init_db_dir(tmp_path, 1)
    assert run(tmp_path, ["a"]) == [("a", 1)]
    epoch = progress_of(tmp_path).resume_epoch
    assert epoch is not None
    leave_behind(tmp_path, "b", epoch, 41)
    ((step, *_),) = {it for it in snaps(tmp_path) if it[1] == "a"}
    assert states_of(tmp_path, step) == {"a": 1}
    for keys, counted in ((["a"] * 2, [("a", 2)]), (["a"] * 2 + ["b"], [("b", 1 if prepared else 42)])):
        if prepared:
            prepare_resume(tmp_path, Launch())
        assert run(tmp_path, keys) == counted  # if not prepared, Bytewax has changed: the module may go


def test_the_resume_epoch_is_the_one_at_which_bytewax_resumes(tmp_path: Path) -> None:
    init_db_dir(tmp_path, PARTS)
    assert progress_of(tmp_path).resume_epoch is None
    for number in range(1, 5):
        expected = progress_of(tmp_path).resume_epoch
        run(tmp_path, ["a"] * number)
        found = max(progress_of(tmp_path).executions)
        assert (found.number, found.workers) == (number - 1, 1)
        assert expected in {None, found.resume_epoch}


def test_each_worker_of_the_last_execution_counts() -> None:
    executions = frozenset({Execution(0, 3, 1), Execution(1, 2, 5)})
    frontiers = {Frontier(0, 2, 2), Frontier(1, 0, 9)}
    assert (
        RecoveryProgress(executions, frozenset(frontiers)).resume_epoch == 5
    )  # the other worker has finished no epoch
    assert RecoveryProgress(executions, frozenset({*frontiers, Frontier(1, 1, 7)})).resume_epoch == 7
    assert RecoveryProgress().resume_epoch is None


def test_machines_with_folders_of_their_own_agree(tmp_path: Path) -> None:
    """Neither knows enough alone: one has the last execution, the other how far one of its workers came."""
    (tmp_path / "all").mkdir()
    init_db_dir(tmp_path / "all", PARTS)
    folders = [tmp_path / "one", tmp_path / "two"]
    for number, folder in enumerate(folders):
        folder.mkdir()
        for part in parts_of(tmp_path / "all")[number::2]:
            shutil.copy(part, folder)
    write(folders[0] / "part-0.sqlite3", "INSERT INTO exs (ex_num, worker_count, resume_epoch) VALUES (3, 2, 10)")
    write(folders[0] / "part-2.sqlite3", "INSERT INTO fronts (ex_num, worker_index, worker_frontier) VALUES (3, 1, 14)")
    write(folders[1] / "part-1.sqlite3", "INSERT INTO fronts (ex_num, worker_index, worker_frontier) VALUES (3, 0, 12)")
    for folder in folders:
        for epoch in range(9, 16):
            write(
                parts_of(folder)[0],
                "INSERT INTO snaps (step_id, state_key, snap_epoch, ser_change) VALUES ('memes.join.wait', '07', ?, x'')",
                epoch,
            )
    addresses = [f"{host}:{free_port()}" for host in ("127.0.0.1", "localhost")]
    code = (
        "from pathlib import Path; from core.launch import Launch; from operators.resume_point import prepare_resume;"
        "prepare_resume(Path({folder!r}), Launch({number}, {addresses!r}))"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code.format(folder=str(it), number=number, addresses=tuple(addresses))], cwd=ROOT
        )
        for number, it in enumerate(folders)
    ]
    assert [it.wait(60) for it in started] == [0, 0]
    assert [sorted(epoch for _, _, epoch in snaps(it)) for it in folders] == [[9, 10, 11]] * 2


def test_a_folder_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "part-0.sqlite3").write_bytes(b"no database")
    with pytest.raises(WorldError, match="part-0"):
        progress_of(tmp_path)


def write(part: Path, query: str, *values: object) -> None:
    with closing(sqlite3.connect(part)) as database, database:
        database.execute(query, values)
