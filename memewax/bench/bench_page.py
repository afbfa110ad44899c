"""`memewax bench page`: how fast `memewax page` answers many readers while posts come."""

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
    posts: Annotated[int, typer.Option("--posts", "-n", min=100, help="Posts of the store that is made.")] = 100_000,
    store: Annotated[
        Path | None,
        typer.Option(help="Folder in which the store is made and kept; one that is there is measured as it is."),
    ] = None,
    captions: Annotated[
        Path | None, typer.Option(help="File of captions, one a line, to mix texts from; by default they are made up.")
    ] = None,
    thumbnails: Annotated[int, typer.Option(min=0, help="So many posts have small images.")] = 100_000,
    a_second: Annotated[int, typer.Option("--rate", min=0, help="Posts that are written a second meanwhile.")] = 50,
    readers: Annotated[int, typer.Option(min=2, help="How many look at it at once, after one alone.")] = 20,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of each run.")] = 30,
    pause: Annotated[float, typer.Option(min=0, help="Seconds, about, from an answer to a reader's next.")] = 1.0,
    runs: Annotated[int, typer.Option(min=1, help="Runs; the median counts.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Make a store like a real one, write into it, and look at each view of its page, with one reader and with many."""
    configure_logging("error")
    from memewax.bench.page_load import PagePlan, measure_page  # seconds to import

    kept = nullcontext(str(store)) if store else tempfile.TemporaryDirectory(prefix="memewax-page-")
    lines = captions.read_text().splitlines() if captions else []
    with kept as folder:
        plan = PagePlan(Path(folder), posts, lines, thumbnails, a_second, readers, seconds, pause, runs)
        report = measure_page(plan)
    sys.stdout.write(orjson.dumps(report, option=0 if as_json else orjson.OPT_INDENT_2).decode() + "\n")
