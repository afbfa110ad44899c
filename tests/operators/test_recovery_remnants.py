"""Rows that were written before a snapshot knew of them go; those that one needs stay."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSink, TestingSource, run_main

from connectors.remnants import LookedFor
from core.row_log import RowLog
from operators.recovery_places import parts_of
from operators.recovery_remnants import drop_unknown_rows, in_recovery, scrub

ROWS = np.dtype([("post", "S32")])
NAMES = LookedFor(("forgettable0003-a",))


def rows_of(*names: str) -> Any:
    return np.array([(it.encode(),) for it in names], ROWS)


class Logging(StatefulBatchLogic[str, str, Any]):
    """A logic whose state is the mark of a log, with others beside it in a list."""

    def __init__(self, log: RowLog) -> None:
        self._log = log

    def on_batch(self, values: list[str]) -> tuple[list[str], bool]:
        self._log.append(rows_of(*values))
        return [], StatefulBatchLogic.RETAIN

    def snapshot(self) -> Any:
        return {"all": [{"log": self._log.mark()}]}


@pytest.fixture
def recovery(tmp_path: Path) -> Path:
    """A recovery folder with two logs: one that a snapshot names, one of a process that died before."""
    folder = tmp_path / "recovery"
    folder.mkdir()
    init_db_dir(folder, 2)  # type: ignore[no-untyped-call]
    flow = Dataflow("test")
    given = op.input("in", flow, TestingSource([("key", "kept-a")]))
    kept = op.stateful_batch("keep", given, lambda _: Logging(RowLog(folder / "clusters", ROWS)))
    op.output("out", kept, TestingSink([]))
    run_main(flow, epoch_interval=timedelta(0), recovery_config=RecoveryConfig(folder, timedelta(0)))  # type: ignore[no-untyped-call]
    died = RowLog(folder / "clusters", ROWS)
    died.append(rows_of("forgettable0003-a"))
    died.mark()
    return folder


def logs(recovery: Path) -> list[bytes]:
    return [it.read_bytes().rstrip(b"\0") for it in recovery.rglob("*.rows")]


def test_rows_that_no_snapshot_names_go(recovery: Path) -> None:
    assert len(list(in_recovery(recovery, NAMES))) == 1
    scrub(recovery, recovery / "clusters")
    assert list(in_recovery(recovery, NAMES)) == []
    assert logs(recovery) == [b"kept-a"]


def test_where_others_may_need_them_they_stay(recovery: Path, tmp_path: Path) -> None:
    shutil.copytree(recovery / "clusters", tmp_path / "elsewhere")
    drop_unknown_rows(recovery, tmp_path / "elsewhere")
    parts_of(recovery)[1].unlink()  # the share of another machine
    drop_unknown_rows(recovery, recovery / "clusters")
    assert len(logs(recovery)) == len(logs(tmp_path / "elsewhere")) == 2


def test_what_is_no_log_stays(recovery: Path) -> None:
    (recovery / "clusters" / "notes").mkdir()
    drop_unknown_rows(recovery, recovery / "clusters")
    assert (recovery / "clusters" / "notes").is_dir()
    assert logs(recovery) == [b"kept-a"]
