"""Requests come into the flow in order, each once, and are marked when they can no longer be lost."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSink, run_main

from connectors.control.control_log import ControlLog, Request
from connectors.control.request_kinds import COMPACT
from operators.control_input import ControlSource, asked
from operators.scheduling import OpenParts

EPOCH = timedelta(milliseconds=10)


@pytest.fixture
def log(tmp_path: Path) -> ControlLog:
    return ControlLog(tmp_path / "store" / "control")


@pytest.fixture
def recovery(tmp_path: Path) -> RecoveryConfig:
    (tmp_path / "recovery").mkdir()
    init_db_dir(tmp_path / "recovery", 1)  # type: ignore[no-untyped-call]
    return RecoveryConfig(tmp_path / "recovery", timedelta(0))  # type: ignore[no-untyped-call]


def run(
    *logs: ControlLog,
    recovery: RecoveryConfig | None = None,
    is_over: Callable[[], bool] = lambda: True,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[tuple[str, int]]:
    """Read them in a flow until it is over: store and number of each request that came."""
    out: list[Request] = []
    flow = Dataflow("requests")
    source = ControlSource([log.folder for log in logs], is_over, should_stop)
    op.output("out", asked("asked", op.input("in", flow, source), COMPACT), TestingSink(out))
    run_main(flow, epoch_interval=EPOCH, recovery_config=recovery)  # type: ignore[no-untyped-call]
    return [(Path(it.log).parent.name, it.number) for it in out]


def after(turns: int, then: Callable[[], object] = lambda: None) -> Callable[[], bool]:
    """Over when it was asked so often, with something done at half of that."""
    left = iter(range(turns))

    def is_over() -> bool:
        turn = next(left, None)
        if turn == turns // 2:
            then()
        return turn is None

    return is_over


def test_requests_come_in_order_also_while_the_flow_runs(log: ControlLog) -> None:
    for _ in range(20):
        log.add("compact", {})
    assert run(log, is_over=after(4, lambda: log.add("compact", {}))) == [("store", number) for number in range(1, 22)]


def test_a_flow_goes_on_after_the_last_and_says_what_was_done(log: ControlLog, recovery: RecoveryConfig) -> None:
    log.add("compact", {})
    assert run(log, recovery=recovery) == [("store", 1)]
    log.add("compact", {})
    assert run(log, recovery=recovery) == [("store", 2)]
    assert log.result(1) == "done by the flow"
    assert run(log, recovery=recovery) == []
    assert log.result(2) == "done by the flow"


def test_a_request_is_marked_while_the_flow_runs_when_its_epoch_is_over(
    log: ControlLog, recovery: RecoveryConfig
) -> None:
    log.add("compact", {})
    assert run(log, recovery=recovery, is_over=lambda: log.result(1) is not None) == [("store", 1)]


def test_a_request_that_was_not_snapshotted_comes_again(log: ControlLog, recovery: RecoveryConfig) -> None:
    """The first flow breaks down in the epoch in which it takes the request in."""
    log.add("compact", {})

    def broken() -> bool:
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        run(log, recovery=recovery, is_over=broken)
    assert log.result(1) is None
    assert run(log, recovery=recovery) == [("store", 1)]


def test_a_new_recovery_folder_begins_with_what_is_open(log: ControlLog, recovery: RecoveryConfig) -> None:
    for _ in range(3):
        log.add("compact", {})
    log.mark(1, "by another flow")
    log.mark(2, "by a command")
    assert run(log, recovery=recovery) == [("store", 3)]


def test_a_place_in_one_log_means_nothing_in_another(log: ControlLog, recovery: RecoveryConfig, tmp_path: Path) -> None:
    other = ControlLog(tmp_path / "other" / "control")
    for each in (log, log, other):
        each.add("compact", {})
    assert run(log, recovery=recovery) == [("store", 1), ("store", 2)]
    assert run(other, recovery=recovery) == [("other", 1)]
    moved = ControlLog(log.folder.parent.rename(tmp_path / "moved") / "control")
    moved.add("compact", {})
    assert run(moved, other, recovery=recovery) == [("moved", 3)]


def test_a_flow_that_is_asked_to_stop_leaves_requests_for_the_next(log: ControlLog) -> None:
    log.add("compact", {})
    assert run(log, should_stop=lambda: True) == []
    assert log.result(1) is None


def test_the_requests_end_with_the_posts() -> None:
    parts = OpenParts(grace_seconds=0.0)
    parts.begin()
    parts.begin()
    parts.end()
    assert not parts.are_over()
    parts.end()
    assert parts.are_over()
    assert not OpenParts(grace_seconds=60.0).are_over()
    assert OpenParts(grace_seconds=0.0).are_over()
