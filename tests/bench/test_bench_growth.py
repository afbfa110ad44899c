"""A store stays about as large as its data, however often it is written: the short form of `just growth`."""

from pathlib import Path

import pytest

from connectors.store import keyed_table
from memewax.bench.bench_growth import grow_table
from tests.commands.typed import Memewax


def test_a_store_is_as_large_as_its_data_and_has_few_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyed_table, "_LEAST_ROWS", 200)
    monkeypatch.setattr(keyed_table, "_LEAST_WRITES", 20)
    monkeypatch.setattr(keyed_table, "_UNINDEXED_BYTES", 100 * 3200)
    found = list(grow_table(tmp_path, 2400, 24, 10))
    grown = found[2:]
    assert max(it.mb / it.data_mb for it in grown) <= 1.5
    assert max(it.files for it in found) < 250  # of 240 writes
    assert [it.posts for it in found] == list(range(100, 2401, 100))


def test_the_command_reports(memewax: Memewax) -> None:
    report = memewax("bench", "growth", "--posts", "600", "--steps", "3", "--batch", "50", "--json").summary()
    assert (report["posts"], len(report["steps"])) == (600, 3)
    assert report["most_mb_to_data"] > 0
    assert report["most_rss_mb"] >= max(it["rss_mb"] for it in report["steps"])


def test_the_flow_that_is_killed_half_way_writes_each_post_once(memewax: Memewax) -> None:
    words = ("bench", "growth", "--flow", "--posts", "8000", "--steps", "4", "--json")
    report = memewax(*words).summary()
    assert report["rows"] == 8_000
    assert 0 < report["read_again"] <= 8_000
    assert report["resume_seconds"] > 0
    assert report["steps"]
