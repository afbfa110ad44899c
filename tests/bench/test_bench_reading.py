"""`memewax bench reading`: a made dump is one of Reddit's, and what is measured adds up."""

from pathlib import Path

import orjson
from typer.testing import CliRunner

from connectors.sources.post_files import inspect_file
from connectors.sources.row_shapes import RedditDump
from memewax.bench.bench_reading import make_dump, pass_over, read_dump
from memewax.commands.app import app


def test_a_made_dump_is_read_to_its_end_and_passed_over(tmp_path: Path) -> None:
    dump = tmp_path / "RS_2026-01.zst"
    assert make_dump(dump, 1000) > 1_000_000
    assert isinstance(inspect_file(dump, ()).shape, RedditDump)
    found = read_dump(dump, parse=True)
    assert found.rows == 1000
    assert 500 < found.posts < 1000
    assert read_dump(dump, parse=False).posts == found.posts
    seconds, cpu = pass_over(dump, 1000)
    assert min(seconds, cpu) > 0


def test_the_flow_reads_it_too() -> None:
    done = CliRunner().invoke(app, ["bench", "reading", "-n", "1000", "--json"])
    told = orjson.loads(done.stdout)
    assert told["rows"] == 1000
    assert min(told["rows_mapped_per_second"], told["flow_posts_per_second"]) > 0
