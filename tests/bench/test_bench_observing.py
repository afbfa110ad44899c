"""What observing costs is measured by turns, and what is not observed does the same work."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from core.counts import RunCounts
from memewax.bench.bench_observing import CPU, TIMED, UNOBSERVED, Scraper, observing_cost, spread
from memewax.commands.bench import _from_file, _posts
from tests.monitoring.prometheus import free_ports


def test_runs_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[bool] = []

    def run(_port: int, _look: Callable[[RunCounts], None]) -> float:
        is_observed = not os.environ[UNOBSERVED]
        ran.append(is_observed)
        Path(os.environ[CPU]).write_text("0.51" if is_observed else "0.50")
        return 1e6 / (51 if is_observed else 50)

    for name in (CPU, UNOBSERVED):
        monkeypatch.setenv(name, "")
    report = observing_cost(10_000, 3, run)
    assert ran == [False, True, True, False, False, True]
    for name in ("cost_percent_of_cpu", "cost_percent_of_rate"):
        assert report[name]["median"] == pytest.approx(2)
    assert report["observed_cpu_microseconds_per_post"]["median"] == pytest.approx(51)
    assert report["machine"]["cores"]


def test_a_spread_has_its_ends() -> None:
    assert spread([3.0, 1.0, 2.0]) == {"median": 2.0, "range": [1.0, 3.0], "n": 3}


@pytest.mark.parametrize("is_observed", [True, False])
def test_either_does_the_work_and_one_is_seen(
    is_observed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "posts.jsonl"
    posts = 10_000  # a run that is over between two looks at its metrics shows none
    source.write_bytes(b"".join(line + b"\n" for line in _posts(posts)))
    (port,) = free_ports(1)
    scraper = Scraper(port)
    monkeypatch.setenv(UNOBSERVED, "" if is_observed else "1")
    monkeypatch.setenv(CPU, str(tmp_path / "cpu"))
    found = _from_file(source, tmp_path / "run", posts, TIMED, port, scraper.look)
    assert found.posts_per_second > 0
    assert 0 < float((tmp_path / "cpu").read_text()) < 60
    assert (scraper.pages > 0) == is_observed
    assert (len(found.microseconds_per_post) > 1) == is_observed
    assert (tmp_path / "run/records.state").exists() == is_observed
