"""`memewax profile SOURCE`: the flow is run, and nothing of it stays."""

import time
from pathlib import Path

import orjson

from tests.commands.typed import Memewax


def test_a_file_is_run_and_profiled_whole(memewax: Memewax, tmp_path: Path) -> None:
    posts = [orjson.dumps({"global_id": f"{it}-a", "url": f"{it}.png"}) for it in range(400)]
    (tmp_path / "posts.jsonl").write_bytes(b"\n".join(posts) + b"\n")
    start = time.monotonic()
    report = memewax("profile", "posts.jsonl", "--processes", "2", "--json", "--flame", "flame.svg").summary()
    took = time.monotonic() - start
    assert sum(it["posts"] for it in report["processes"]) == 400
    for it in report["processes"]:
        assert 0 < it["seconds"] < took
        together = sum(section["seconds"] for section in it["sections"])
        assert abs(together - it["workers"] * it["seconds"]) <= 0.05 * together
    joined = [section for it in report["processes"] for section in it["sections"] if section["section"] == "join"]
    assert sum(size["items"] for section in joined for size in section["sizes"]) >= 400
    assert sorted(it.name for it in tmp_path.iterdir()) == ["flame.svg", "posts.jsonl"]


def test_a_source_that_is_not_there_is_a_line(memewax: Memewax) -> None:
    done = memewax("profile", "nowhere.jsonl")
    assert (done.code, done.out) == (3, "")
    assert "nowhere.jsonl" in done.err
