"""`memewax bench deletes`: cost of deletes in a large store and in the clusterer."""

import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import orjson
import typer

from core.errors import SettingsError
from core.extras import needs_extra
from core.telemetry import configure_logging


@needs_extra("bench", "memewax bench deletes")
def deletes(
    posts: Annotated[int, typer.Option("--posts", "-n", min=1000, help="Number of posts in the store.")] = 1_000_000,
    rate: Annotated[
        int, typer.Option(min=1, max=10_000, help="Deletes per second, half of them of posts in the store.")
    ] = 100,
    seconds: Annotated[
        int, typer.Option(min=1, max=600, help="Number of one-second batches, run one right after the other.")
    ] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Fill a store, delete posts from it and from a clusterer, and erase the deleted rows."""
    if rate * seconds > posts:
        raise SettingsError(
            f"{rate} deletes per second for {seconds} s are more than {posts:,} posts: lower --rate or --seconds"
        )
    from memewax.bench.deletes_cost import measure  # imported late, because it loads the store

    configure_logging("error")
    with tempfile.TemporaryDirectory(prefix="memewax-deletes-") as name:
        report = asdict(measure(Path(name), posts, rate, seconds, _say))
    sys.stdout.write(orjson.dumps(report, option=0 if as_json else orjson.OPT_INDENT_2).decode() + "\n")


def _say(line: str) -> None:
    print(f"memewax: {line}", file=sys.stderr, flush=True)
