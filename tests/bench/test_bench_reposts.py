"""The short form of `memewax bench reposts`: its streams are what they say, and its figures are told."""

from pathlib import Path

import pytest

from memewax.bench import bench_reposts
from tests.commands.typed import Memewax
from tests.flows.cli import PIXELS
from tests.folders import ROOT


@pytest.fixture(autouse=True)
def real_models(memewax: Memewax, monkeypatch: pytest.MonkeyPatch) -> None:  # after the fixture that says otherwise
    monkeypatch.setenv("MEMEWAX_MODELS", "real")


def test_reposts_are_known_and_the_others_are_not(memewax: Memewax, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_reposts, "_FLOW", PIXELS)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    words = (
        "bench",
        "reposts",
        "--posts",
        "20",
        "--runs",
        "1",
        "--share",
        "0",
        "--share",
        "0.5",
        "--precision",
        "exact",
    )
    report = memewax(*words, "--json").summary()
    measured = report["precisions"]["exact"]
    assert report["speedup"] == {share: it["speedup"] for share, it in measured.items()}
    assert {share: it["known"] for share, it in measured.items()} == {"0.0": [0], "0.5": [10]}
    assert all(it["speedup"] > 0 for it in measured.values())
    assert (report["posts"], report["runs"]) == (20, 1)


def test_too_few_images_are_said(memewax: Memewax, tmp_path: Path) -> None:
    told = memewax("bench", "reposts", "--data", str(tmp_path))
    assert told.code == 2
    assert "60 posts need 68 images, but 0 were found: lower --posts" in told.err
