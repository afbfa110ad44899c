"""Bytewax schedules as `operators.scheduling` relies on: a new version of it that does not fails here."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSink, cluster_main, run_main

from operators.scheduling import OnePerRound, PerWorker

Log = list[tuple[str, str, int]]


class Parts(FixedPartitionedSource[str, None]):
    """Three parts that give their name a few times; what happens is logged with the thread that it happens on."""

    def __init__(self, log: Log, times: int = 3) -> None:
        self.log = log
        self.times = times

    def list_parts(self) -> list[str]:
        return ["a", "b", "c"]

    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "Part":
        self.log.append(("built", for_part, threading.get_ident()))
        return Part(self, for_part)


class Part(StatefulSourcePartition[str, None]):
    def __init__(self, source: Parts, name: str) -> None:
        self.source = source
        self.name = name
        self.left = source.times

    def next_batch(self) -> list[str]:
        if not self.left:
            raise StopIteration
        self.left -= 1
        self.source.log.append(("asked", self.name, threading.get_ident()))
        return [self.name]

    def snapshot(self) -> None:
        return None


def run(main: Callable[[Dataflow], Any]) -> Log:
    log: Log = []
    flow = Dataflow("rounds")

    def handled(batch: list[str]) -> list[str]:
        log.extend(("handled", name, threading.get_ident()) for name in batch)
        return batch

    op.output("out", op.flat_map_batch("handle", op.input("in", flow, Parts(log)), handled), TestingSink([]))
    main(flow)
    return log


def test_each_part_is_asked_once_in_a_round_and_the_flow_handles_it_before_the_next() -> None:
    log = [(what, name) for what, name, _ in run(run_main) if what != "built"]
    rounds = [log[start : start + 6] for start in range(0, len(log), 6)]
    assert len(rounds) == 3
    for events in rounds:
        assert sorted(events[:3]) == [("asked", "a"), ("asked", "b"), ("asked", "c")]
        assert sorted(events[3:]) == [("handled", "a"), ("handled", "b"), ("handled", "c")]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_builds_and_asks_its_parts_on_one_thread_of_its_own(workers: int) -> None:
    log = run(lambda flow: cluster_main(flow, [], 0, worker_count_per_proc=workers))
    built = {name: thread for what, name, thread in log if what == "built"}
    asked = {(name, thread) for what, name, thread in log if what == "asked"}
    assert asked == set(built.items())
    assert len(set(built.values())) == workers


def test_per_worker_has_a_value_for_each_thread() -> None:
    values = PerWorker(list[int])
    mine = values.get()
    other: list[list[int]] = []
    thread = threading.Thread(target=lambda: other.append(values.get()))
    thread.start()
    thread.join()
    assert values.get() is mine
    assert other[0] is not mine


class Giver:
    def __init__(self, turn: int | None = None, *, ready: bool = True) -> None:
        self.turn = turn
        self.given = 0
        self.ready = ready

    def is_ready(self) -> bool:
        return self.ready


def test_of_parts_in_order_the_one_whose_turn_it_is_gives() -> None:
    rounds, parts = OnePerRound(), [Giver(2), Giver(1)]
    rounds.parts += parts
    assert [rounds.request_turn(part) for part in parts] == [False, True]


def test_one_part_gives_in_a_round() -> None:
    rounds, parts = OnePerRound(), [Giver(), Giver()]
    rounds.parts += parts
    given = []
    for _ in range(4):
        for number, part in enumerate(parts):
            if rounds.request_turn(part):
                part.given = rounds.give()
                given.append(number)
    assert given == [0, 1, 0, 1]


def test_a_part_that_is_not_ready_holds_no_other_up() -> None:
    rounds, parts = OnePerRound(), [Giver(ready=False), Giver()]
    rounds.parts += parts
    assert rounds.request_turn(parts[1])


class Epochs(FixedPartitionedSource[int, int]):
    """Ends an epoch with each turn, and notes at the beginning of the next what is durable by then."""

    def __init__(self, recovery: Path) -> None:
        self.recovery = recovery
        self.durable: list[tuple[int, int]] = []
        """The last snapshot that was taken, and the one from which a new run would go on."""

    def list_parts(self) -> list[str]:
        return ["a"]

    def build_part(self, step_id: str, for_part: str, resume_state: int | None) -> "Epoch":
        return Epoch(self)


class Epoch(StatefulSourcePartition[int, int]):
    def __init__(self, source: Epochs) -> None:
        self.source = source
        self.turn = 0
        self.taken = 0

    def next_batch(self) -> list[int]:
        self.source.durable.append((self.taken, resumable(self.source.recovery)))
        if self.turn == 3:
            raise StopIteration
        self.turn += 1
        return [self.turn]

    def snapshot(self) -> int:
        self.taken = self.turn
        return self.turn


RESUMABLE = """
import pickle, sqlite3, sys
database = sqlite3.connect(sys.argv[1])
(frontier,) = database.execute("SELECT max(worker_frontier) FROM fronts").fetchone()
query = "SELECT ser_change FROM snaps WHERE step_id = 'epochs.in' AND snap_epoch < ? ORDER BY snap_epoch DESC"
found = database.execute(query, (frontier or 0,)).fetchone()
print(0 if found is None else pickle.loads(found[0]))
"""


def resumable(recovery: Path) -> int:
    """What the newest snapshot holds that lies before the frontier of the flow, as a new run would find it.

    Looked up by another process: SQLite's locks are those of a process, and Bytewax has an SQLite of its own.
    """
    command = [sys.executable, "-c", RESUMABLE, str(recovery / "part-0.sqlite3")]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def test_a_source_is_asked_again_only_when_its_last_snapshot_is_durable(tmp_path: Path) -> None:
    init_db_dir(tmp_path, 1)  # type: ignore[no-untyped-call]
    source = Epochs(tmp_path)
    flow = Dataflow("epochs")
    op.output("out", op.map("slow", op.input("in", flow, source), lambda it: time.sleep(0.01) or it), TestingSink([]))
    run_main(flow, epoch_interval=timedelta(0), recovery_config=RecoveryConfig(tmp_path, timedelta(0)))  # type: ignore[no-untyped-call]
    assert source.durable[1:] == [(turn, turn) for turn in range(1, 4)]
