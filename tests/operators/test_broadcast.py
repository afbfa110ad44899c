"""What is told to each machine comes there once, and machines that are gone end nothing."""

from datetime import timedelta
from pathlib import Path

import pytest
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSource, run_main

from core.launch import Launch
from operators import broadcast
from operators.broadcast import broadcast_to_machines
from operators.recovered import keys_of


def told(recovery: Path, items: list[str], launch: Launch | None = None) -> list[str]:
    taken: list[str] = []
    flow = Dataflow("test")
    up = op.input("in", flow, TestingSource(items))
    broadcast_to_machines("tell", up, recovery, taken.extend, launch)
    run_main(flow, epoch_interval=timedelta(0), recovery_config=RecoveryConfig(recovery, timedelta(0)))  # type: ignore[no-untyped-call]
    return taken


def test_a_machine_that_is_gone_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    init_db_dir(tmp_path, 1)  # type: ignore[no-untyped-call]
    with monkeypatch.context() as patched:  # one process plays both machines
        patched.setattr(broadcast._EachMachine, "list_parts", lambda _: [broadcast._name(it) for it in (0, 1)])
        both = Launch(0, ("one:1", "other:1"))
        assert told(tmp_path, ["a", "b"], both) == ["a", "a", "b", "b"]
    assert keys_of(tmp_path, "test.tell.told") == {"machine-000000", "machine-000001"}
    assert told(tmp_path, ["a", "b", "c"], Launch()) == ["c"]
    assert told(tmp_path, ["a", "b", "c", "d"]) == ["d"]
