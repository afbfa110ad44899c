"""`memewax bench page`: latency of `memewax page` under many readers while posts are written."""

import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import orjson
import typer

from core.extras import needs_extra
from core.telemetry import configure_logging


@needs_extra("bench", "memewax bench page")
def page(
    posts: Annotated[int, typer.Option("--posts", "-n", min=100, help="Posts in the generated store.")] = 100_000,
    store: Annotated[
        Path | None,
        typer.Option(help="Folder of the store, which is kept; a store that exists is measured as it is."),
    ] = None,
    captions: Annotated[
        Path | None,
        typer.Option(help="File of captions, one per line, to generate texts from; by default texts are made up."),
    ] = None,
    thumbnails: Annotated[int, typer.Option(min=0, help="Number of posts with a thumbnail.")] = 100_000,
    rate: Annotated[int, typer.Option("--rate", min=0, help="Posts written per second during the measurement.")] = 50,
    readers: Annotated[int, typer.Option(min=2, help="Number of concurrent readers; one alone is measured too.")] = 20,
    seconds: Annotated[float, typer.Option(min=0.1, help="Duration of each run.")] = 30,
    pause: Annotated[float, typer.Option(min=0, help="Mean pause of a reader after each answer, in seconds.")] = 1.0,
    runs: Annotated[int, typer.Option(min=1, help="Number of runs, of which the median is reported.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Generate a realistic store and time each view of its page during writes, with one reader and with many."""
    configure_logging("error")
    from memewax.bench.page_load import PagePlan, measure_page  # seconds to import

    context = nullcontext(str(store)) if store else tempfile.TemporaryDirectory(prefix="memewax-page-")
    lines = captions.read_text().splitlines() if captions else []
    with context as folder:
        plan = PagePlan(Path(folder), posts, lines, thumbnails, rate, readers, seconds, pause, runs)
        report = measure_page(plan)
    sys.stdout.write(orjson.dumps(report, option=0 if as_json else orjson.OPT_INDENT_2).decode() + "\n")
