"""`memewax bench pipeline`: a short form, over images of our own and models that answer at once."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from core.errors import SettingsError, WorldError
from memewax.bench.bench_pipeline import rate_of
from memewax.commands.app import app

POSTS = 48


@pytest.fixture
def posts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEMEWAX_MODELS", "fake")
    lines = []
    for number in range(POSTS):
        pixels = np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        lines.append(
            json.dumps(
                {"global_id": f"{number}-x", "author": "", "created_time": "", "desc": "", "score": 0,
                 "url": f"{number}.png", "source": "x", "truth": {"text": "words"}}
            )
        )  # fmt: skip
    (tmp_path / "posts.jsonl").write_text("\n".join(lines))
    return tmp_path


def test_one_process_file_to_file(posts: Path) -> None:
    command = ["bench", "pipeline", "--data", str(posts), "--runs", "1", "--processes", "1", "--json"]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    report = json.loads(result.stdout)
    assert report["posts_per_second"] > 0
    assert report["against_exact"] > 0
    assert list(report["efficiency"]) == ["1"]
    assert report["efficiency"]["1"] > 0
    assert {"text", "embedding", "join"} <= set(report["stages"])
    assert (report["n"], report["runs"], report["models"]) == (POSTS, 1, "fake")
    assert {"flow", "flow_exact_1", "flow_1", "bare_1"} == set(report["rates"])
    assert "efficiency_kafka" not in report


def test_too_few_posts_are_said(posts: Path) -> None:
    (posts / "posts.jsonl").write_text((posts / "posts.jsonl").read_text().split("\n", 1)[0])
    with pytest.raises(SettingsError, match="has 1 posts, and a rate needs 10"):
        CliRunner().invoke(app, ["bench", "pipeline", "--data", str(posts)], catch_exceptions=False)


def test_the_rate_is_of_what_was_done_after_the_first_fifth() -> None:
    times = [5.0, 5.0, *(10.0 + number for number in range(8))]  # the first two waited for models
    assert rate_of(times, 10) == pytest.approx(1.0)


@pytest.mark.parametrize("posts", [60, 96, 150])
def test_bursts_of_two_processes_do_not_change_the_rate(posts: int) -> None:
    """Each does sixteen posts in three seconds, out of step, and tells of all of them within a millisecond."""
    times: list[float] = []
    sizes = [16] * (posts // 32) + [posts // 2 % 16]
    for begun in (0.0, 1.4):
        for place, size in enumerate(sizes, 1):
            done = begun + sum(sizes[:place]) * 3.0 / 16
            times += [done + number * 1e-4 for number in range(size)]
    assert rate_of(times, posts) == pytest.approx(2 * 16 / 3.0, rel=0.25)


@pytest.mark.parametrize(("times", "told"), [([1.0] * 9, "10 posts went in and 9 came out"), ([1.0] * 10, "at once")])
def test_what_is_no_measurement_is_said(times: list[float], told: str) -> None:
    with pytest.raises(WorldError, match=told):
        rate_of(times, 10)
