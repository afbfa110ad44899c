"""What is said where Bytewax's own command runs a flow, and with which exit code it ends."""

import os
import sys
from pathlib import Path

import pytest

from core.counts import RunCounts
from core.endings import answers_ending, ingest_ending, run_ending
from core.errors import SettingsError
from dataflows import exit_report
from operators.steps import Failures

FOLDER = Path("store.recovery")


class Exited(BaseException):
    """The process would have ended."""


@pytest.fixture(autouse=True)
def _process(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(code: int) -> None:
        raise Exited(code)

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(exit_report, "FAILURES", Failures())
    monkeypatch.delattr(sys, "last_value", raising=False)
    monkeypatch.setattr(exit_report, "own_counts", lambda: RunCounts(posts=3, joined=3, images=3))


def tell(*, is_first: bool = True) -> None:
    exit_report._report(run_ending, 1.5, FOLDER, is_first=is_first)


def test_what_was_done_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    tell()
    assert capsys.readouterr().err == "memewax: 3 records, 0 dead letters in 1.5 s\n"


@pytest.mark.parametrize(
    ("is_first", "told"),
    [(True, "nothing to read: the source is empty"), (False, "nothing new since the last run; delete store.recovery")],
)
def test_nothing_is_told_too(
    is_first: bool, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(exit_report, "own_counts", RunCounts)
    tell(is_first=is_first)
    assert told in capsys.readouterr().err


def test_a_run_that_could_use_nothing_ends_with_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reasons = {("parse", "not JSON in UTF-8"): 5}
    monkeypatch.setattr(exit_report, "own_counts", lambda: RunCounts(dead_letters=5, reasons=reasons))
    with pytest.raises(Exited, match="3"):
        tell()
    assert capsys.readouterr().err.splitlines() == [
        "memewax: 0 records, 5 dead letters in 1.5 s",
        "  5 x parse: not JSON in UTF-8 (each line is a JSON object with global_id and url)",
        "memewax: nothing that was read could be used: `memewax dead-letters list` says why",
    ]


def test_after_an_error_only_its_exit_code_is_left_to_say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_report.FAILURES.report(SettingsError("misspelt"))
    capsys.readouterr()
    with pytest.raises(Exited, match="2"):
        tell()
    monkeypatch.setattr(exit_report, "FAILURES", Failures())
    monkeypatch.setattr(sys, "last_value", ValueError(), raising=False)
    tell()
    assert capsys.readouterr().err == ""


def test_other_flows_say_what_their_commands_say() -> None:
    taken = RunCounts(posts=2, dead_letters=1, skipped={"no image": 1200})
    assert ingest_ending(taken, 1.0, FOLDER).lines == ["2 posts, 1 dead letter in 1.0 s; skipped: 1,200 no image"]
    assert ingest_ending(RunCounts(), 1.0, FOLDER).lines == [
        "nothing new since the last run; store.recovery remembers what was seen"
    ]
    assert answers_ending(RunCounts(answers=7, answer_errors=2), 1.0).lines == [
        "7 answers, including 2 errors in 1.0 s"
    ]
    assert answers_ending(RunCounts(answers=1), 1.0).lines == ["1 answer in 1.0 s"]


def test_deletes_are_told_also_where_nothing_else_came() -> None:
    lines = run_ending(RunCounts(removals=2), 1.0, FOLDER, False, False).lines
    assert lines == ["0 records, 0 dead letters in 1.0 s, 2 deletes and hidden accounts"]
