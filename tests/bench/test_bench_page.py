"""`memewax bench page`: every view of a small store is asked for while it is written."""

from pathlib import Path

from tests.commands.typed import Memewax


def test_each_view_is_measured_alone_and_with_many_readers(memewax: Memewax, tmp_path: Path) -> None:
    captions = tmp_path / "captions.txt"
    captions.write_text("when the cat is away\nnobody expects a monday\nit works on my machine\n")
    words = ["bench", "page", "--posts", "300", "--thumbnails", "200", "--seconds", "0.1", "--pause", "0.01"]
    words += ["--runs", "1", "--readers", "2", "--rate", "5", "--captions", str(captions), "--json"]
    report = memewax(*words).summary()
    assert report["posts"] == 300
    assert report["most_rss_mb"] > 0
    assert report["readers"].keys() == {"1", "2"}
    views = {"clusters", "cluster", "posts", "post", "now", "words", "thumbnail", "stats"}
    by_image = report["by_image"]
    assert by_image["n"] > 0 < by_image["p50_ms"]
    for found in report["readers"].values():
        assert found.keys() == views
        assert all(it["n"] > 0 and 0 < it["p50_ms"] <= it["p95_ms"] <= it["most_ms"] for it in found.values())
