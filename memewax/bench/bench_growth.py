"""`memewax bench growth`: disk size of a store, and memory of the process that writes it, while posts arrive."""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import Annotated, Any, Final

import orjson
import typer

from connectors.sinks.record_table import posts_table
from core.extras import needs_extra
from core.telemetry import configure_logging
from memewax.bench.grown_store import DIMENSION, StoreSize, made_rows, size_of

_BATCH: Final = 512
_POOL: Final = 2048
"""Number of distinct posts; they repeat with new ids."""


@needs_extra("bench", "memewax bench growth")
def growth(
    posts: Annotated[int, typer.Option("--posts", "-n", min=100, help="Number of posts.")] = 100_000,
    steps: Annotated[int, typer.Option(min=2, help="Number of measurements.")] = 20,
    batch: Annotated[int, typer.Option(min=1, help="Posts per write.")] = _BATCH,
    flow: Annotated[
        bool,
        typer.Option("--flow", help="Run the whole flow, killed half-way and resumed, instead of the table alone."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write synthetic posts with 384-dimensional vectors into a store, and measure its size as it grows."""
    configure_logging("error")
    flow_report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="memewax-growth-") as name:
        if flow:
            from memewax.bench.growth_of_flow import grow_with_flow

            flow_growth = grow_with_flow(Path(name), posts, steps)
            found = list(flow_growth.steps)
            flow_report = {key: value for key, value in asdict(flow_growth).items() if key != "steps"}
        else:
            found = list(grow_table(Path(name), posts, steps, batch))
    tenth = found[max(0, len(found) // 10 - 1)]
    report = {
        "posts": posts,
        **flow_report,
        "most_mb_to_data": round(max(it.mb / it.data_mb for it in found), 3),
        "most_files": max(it.files for it in found),
        "rss_to_first_tenth": round(max(it.rss_mb for it in found) / tenth.rss_mb, 3),
        "most_rss_mb": round(getrusage(RUSAGE_CHILDREN if flow else RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1),
        "steps": [asdict(it) for it in found],
    }
    sys.stdout.write(orjson.dumps(report, option=0 if as_json else orjson.OPT_INDENT_2).decode() + "\n")


def grow_table(folder: Path, posts: int, steps: int, batch: int) -> Iterator[StoreSize]:
    """Write posts into a new store in `folder`; yield its size at `steps` points, the last one at the end."""
    import psutil

    from connectors.store.stored_table import StoredTable

    process = psutil.Process(os.getpid())
    table = StoredTable(folder, posts_table(DIMENSION, DIMENSION))
    pool = made_rows(_POOL)
    start, step = time.monotonic(), 1
    measured: list[tuple[float, int, int, float, float]] = []
    for at in range(0, posts, batch):
        until = min(posts, at + batch)
        table.upsert([{**pool[it % _POOL], "global_id": f"{it:08d}-reddit"} for it in range(at, until)])
        if until >= posts * step / steps:
            step += 1
            files, size = size_of(folder)
            measured.append((time.monotonic() - start, until, files, size / 1e6, process.memory_info().rss / 1e6))
    table.compact()
    data = size_of(folder)[1] / 1e6 / posts
    for seconds, until, files, mb, rss in measured:
        yield StoreSize(until, round(seconds, 1), files, round(mb, 1), round(data * until, 1), round(rss, 1))
