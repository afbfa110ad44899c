"""What observing costs is measured by turns, and what is not observed does the same work."""

from collections.abc import Callable
from pathlib import Path

import pytest

from core.counts import RunCounts
from memewax.bench import bench_observing
from memewax.bench.bench_observing import OBSERVED, UNOBSERVED, Scraper, observing_cost, spread
from memewax.commands.bench import _from_file, _posts
from tests.monitoring.prometheus import free_ports


def test_runs_take_turns_and_starting_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    used = 0.0
    asked: list[tuple[str, int]] = []

    def run(flow: str, posts: int, _port: int, _look: Callable[[RunCounts], None]) -> float:
        nonlocal used
        asked.append((flow, posts))
        used += 3 + posts * (51e-6 if flow == OBSERVED else 50e-6)
        return 1e6 / (51 if flow == OBSERVED else 50)

    monkeypatch.setattr(bench_observing, "_seconds_of_children", lambda: used)
    report = observing_cost(10_000, 1000, 3, run)
    pairs = [UNOBSERVED, OBSERVED, OBSERVED, UNOBSERVED, UNOBSERVED, OBSERVED]
    assert asked == [(OBSERVED, 1000), (UNOBSERVED, 1000), *((flow, 10_000) for flow in pairs)]
    for name in ("cost_percent_of_cpu", "cost_percent_of_rate"):
        assert report[name]["median"] == pytest.approx(2)
    assert report["observed_cpu_microseconds_per_post"]["median"] == pytest.approx(51)
    assert report["machine"]["cores"]


def test_a_spread_has_its_ends() -> None:
    assert spread([3.0, 1.0, 2.0]) == {"median": 2.0, "range": [1.0, 3.0], "n": 3}


@pytest.mark.parametrize("flow", [OBSERVED, UNOBSERVED])
def test_either_flow_does_the_work_and_one_is_seen(flow: str, tmp_path: Path) -> None:
    source = tmp_path / "posts.jsonl"
    source.write_bytes(b"".join(line + b"\n" for line in _posts(1000)))
    (port,) = free_ports(1)
    scraper = Scraper(port)
    found = _from_file(source, tmp_path / "run", 1000, flow, port, scraper.look)
    assert found.posts_per_second > 0
    assert (scraper.pages > 0) == (flow == OBSERVED)
    assert (len(found.microseconds_per_post) > 1) == (flow == OBSERVED)
    assert (tmp_path / "run/records.state").exists() == (flow == OBSERVED)
