import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from core.errors import WorldError
from memewax.evaluation.history import compare, load, save
from memewax.evaluation.measures import Figure, Report
from memewax.evaluation.result_tables import comparison_table, report_table


def report(cer: float, spread: float = 0.01, n: int = 5, **options: Any) -> Report:
    figures = {"cer": Figure(cer, (cer - spread, cer + spread)), "as_is.cer": Figure(0.5, (0.4, 0.6))}
    return Report("ocr", n, figures, {"text": f"model {cer}"}, options=options)


def keep(file: Path, *reports: Report) -> None:
    for day, it in enumerate(reports, start=1):
        save(file, Path("somewhere/memes/posts.jsonl"), it.to_dict(), datetime(2026, 5, day, tzinfo=UTC))


def test_the_last_two_runs_of_a_kind_are_compared(tmp_path: Path) -> None:
    file = tmp_path / "new" / "history.jsonl"
    keep(file, report(0.9), report(0.3), report(0.2))
    (found,) = compare(load(file))
    assert found.before is not None
    assert (found.before.time, found.last.time) == ("2026-05-02T00:00:00+00:00", "2026-05-03T00:00:00+00:00")
    assert found.last.data == "memes/posts.jsonl"
    changes = {change.figure: change for change in found.changes}
    assert (changes["cer"].before, changes["cer"].after, changes["cer"].beyond) == (0.3, 0.2, True)
    assert not changes["as_is.cer"].beyond


def test_a_change_within_the_intervals_is_not_beyond_them(tmp_path: Path) -> None:
    keep(tmp_path / "a", report(0.3, spread=0.2), report(0.25))
    (found,) = compare(load(tmp_path / "a"))
    assert not any(change.beyond for change in found.changes)


def test_runs_that_differ_in_what_was_measured_are_not_compared(tmp_path: Path) -> None:
    keep(tmp_path / "a", report(0.3), report(0.2, n=6), report(0.1, noise=0.5))
    found = compare(load(tmp_path / "a"))
    assert [(it.before, it.changes) for it in found] == [(None, ())] * 3


def test_tables_tell_all_of_it(tmp_path: Path) -> None:
    keep(tmp_path / "a", report(0.3), report(0.2))
    (found,) = compare(load(tmp_path / "a"))
    console = Console(width=160)
    with console.capture() as capture:
        console.print(comparison_table(found))
        console.print(report_table(report(0.3)))
    told = capture.get()
    for expected in ("-0.100", "model 0.2 (was model 0.3)", "as_is, cer", "0.290 to 0.310", "ocr, n = 5"):
        assert expected in told


def test_a_history_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="--save"):
        load(tmp_path / "none.jsonl")
    (tmp_path / "broken").write_text("{}\n")
    with pytest.raises(WorldError, match="not a history"):
        load(tmp_path / "broken")
    (tmp_path / "half").write_text('\n{"time": "", "kind": "ocr", "data": "", "report": {"n": 3}}\n')
    with pytest.raises(WorldError, match="not a history"):
        load(tmp_path / "half")
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(WorldError, match="has no run"):
        load(tmp_path / "empty")
    with pytest.raises(WorldError, match="Is a directory"):
        keep(tmp_path, report(0.5))


def test_a_title_is_as_wide_as_the_screen(tmp_path: Path) -> None:
    keep(tmp_path / "a", report(0.3))
    (found,) = compare(load(tmp_path / "a"))
    console = Console(width=80)
    with console.capture() as capture:
        console.print(comparison_table(found))
    assert capture.get().splitlines()[0] == "ocr, memes/posts.jsonl, n=5: 2026-05-01T00:00:00+00:00, the only run"


def test_what_is_not_defined_is_said_in_words() -> None:
    console = Console(width=80)
    undefined = Figure(math.nan, (math.nan, math.nan))
    with console.capture() as capture:
        console.print(report_table(Report("similarity", 1, {"spearman": undefined}, {})))
    assert "not defined" in capture.get()
    assert "nan" not in capture.get()
