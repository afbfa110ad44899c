"""`memewax bench fetch`, in short."""

import orjson
import pytest
from typer.testing import CliRunner

from connectors.fetching.decode import decode
from memewax.bench.bench_fetch import FetchRun, _report
from memewax.bench.image_server import image
from memewax.commands.app import app


def test_it_shows_the_concurrency(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMEWAX_LOG_LEVEL", "error")
    arguments = ["-n", "24", "--latency-ms", "50", "--concurrency", "1", "--concurrency", "8", "--runs", "2", "--json"]
    done = CliRunner().invoke(app, ["bench", "fetch", *arguments])
    assert done.exit_code == 0, done.output
    report = orjson.loads(done.stdout)
    one, eight = report["fetch"]["1"], report["fetch"]["8"]
    assert (report["n"], report["latency_ms"]) == (24, 50)
    assert (one["most_at_once"], one["connections"], one["times_faster"]) == (1, 1, 1)
    # What the server saw, not the clock: more than one at a time, over connections that were used again.
    assert 2 <= eight["most_at_once"] <= 8
    assert 2 <= eight["connections"] <= 8
    assert one["seconds_fastest"] >= 24 * 0.05
    assert {"processor", "cores", "python"} <= report["machine"].keys()


def test_a_figure_is_the_median_of_its_runs() -> None:
    def runs(*seconds: float) -> list[FetchRun]:
        return [FetchRun(it, 0.5, 3, 3) for it in seconds]

    report = _report({1: runs(8, 10, 20), 4: runs(2, 2.5, 9)}, 100, 50)
    four = report["fetch"][4]
    assert (four["seconds"], four["seconds_fastest"], four["seconds_slowest"]) == (2.5, 2, 9)
    assert (four["images_per_second"], four["times_faster"]) == (40, 4)


def test_its_image_is_one() -> None:
    assert decode(image(), max_pixels=10**6, max_side=2560).shape == (320, 320, 3)
    assert 5_000 < len(image()) < 100_000
