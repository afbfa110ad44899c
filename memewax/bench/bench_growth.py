"""`memewax bench growth`: what a store weighs while posts come, and the process that writes it."""

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
from memewax.bench.grown_store import DIMENSION, Weight, made_rows, size_of

_BATCH: Final = 512
_POOL: Final = 2048
"""Different posts; what comes after has other ids."""


@needs_extra("bench", "memewax bench growth")
def growth(
    posts: Annotated[int, typer.Option("--posts", "-n", min=100, help="Posts that come.")] = 100_000,
    steps: Annotated[int, typer.Option(min=2, help="So often it is looked at.")] = 20,
    batch: Annotated[int, typer.Option(min=1, help="Posts that are written together.")] = _BATCH,
    flow: Annotated[
        bool, typer.Option("--flow", help="Let the whole flow write it, killed half-way, instead of the table alone.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write posts with mixed vectors of 384 numbers and made-up captions into a store, and weigh it as it grows."""
    configure_logging("error")
    of_flow: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="memewax-growth-") as name:
        if flow:
            from memewax.bench.growth_of_flow import grown

            made = grown(Path(name), posts, steps)
            found = list(made.steps)
            of_flow = {key: value for key, value in asdict(made).items() if key != "steps"}
        else:
            found = list(weighed(Path(name), posts, steps, batch))
    tenth = found[max(0, len(found) // 10 - 1)]
    report = {
        "posts": posts,
        **of_flow,
        "most_mb_to_data": round(max(it.mb / it.data_mb for it in found), 3),
        "most_files": max(it.files for it in found),
        "rss_to_first_tenth": round(max(it.rss_mb for it in found) / tenth.rss_mb, 3),
        "most_rss_mb": round(getrusage(RUSAGE_CHILDREN if flow else RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1),
        "steps": [asdict(it) for it in found],
    }
    sys.stdout.write(orjson.dumps(report, option=0 if as_json else orjson.OPT_INDENT_2).decode() + "\n")


def weighed(folder: Path, posts: int, steps: int, batch: int) -> Iterator[Weight]:
    """Write posts into a new store in `folder`, and weigh it `steps` times, the last time at the end."""
    import psutil

    from connectors.store.stored_table import StoredTable

    process = psutil.Process(os.getpid())
    table = StoredTable(folder, posts_table(DIMENSION, DIMENSION))
    pool = made_rows(_POOL)
    start, looks = time.monotonic(), 1
    measured: list[tuple[float, int, int, float, float]] = []
    for at in range(0, posts, batch):
        until = min(posts, at + batch)
        table.upsert([{**pool[it % _POOL], "global_id": f"{it:08d}-reddit"} for it in range(at, until)])
        if until >= posts * looks / steps:
            looks += 1
            files, size = size_of(folder)
            measured.append((time.monotonic() - start, until, files, size / 1e6, process.memory_info().rss / 1e6))
    table.compact()
    data = size_of(folder)[1] / 1e6 / posts
    for seconds, until, files, mb, rss in measured:
        yield Weight(until, round(seconds, 1), files, round(mb, 1), round(data * until, 1), round(rss, 1))
