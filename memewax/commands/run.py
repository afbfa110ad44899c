"""`memewax run`: posts in, joined records out."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer

from connectors.endpoints import DEAD_LETTERS_TO, POSTS_FROM, RECORDS_TO
from core.endings import USELESS, run_ending
from core.errors import WorldError
from memewax.commands.flow_run import run_flow, summary_of

SNAPSHOT_SECONDS: Final = 10.0
_FROM: Final = f"{POSTS_FROM.help}; as often as you like."
_TO: Final = f"{RECORDS_TO.help}; as often as you like."
_DEAD: Final = f"{DEAD_LETTERS_TO.help}; by default beside the first sink."
COLUMN: Final = "NAME=FIELD: how the file calls a field of a post (url, desc, …) or a new one; usual names are found."


def run(
    source: Annotated[list[str] | None, typer.Option("--from", help=_FROM)] = None,
    to: Annotated[list[str] | None, typer.Option("--to", help=_TO)] = None,
    dead_letters: Annotated[str | None, typer.Option(help=_DEAD)] = None,
    recovery: Annotated[
        Path | None, typer.Option(help="Folder of snapshots; by default beside the first sink.")
    ] = None,
    snapshot_interval: Annotated[
        float, typer.Option(help="Seconds between snapshots.", min=0.1, max=86_400)
    ] = SNAPSHOT_SECONDS,
    processes: Annotated[int | None, typer.Option(help="Processes, which share the cores.", min=1)] = None,
    follow: Annotated[bool | None, typer.Option(help="Whether to wait for more at the end of the source.")] = None,
    columns: Annotated[list[str] | None, typer.Option("--column", help=COLUMN)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object on stdout.")] = False,
) -> None:
    """Read, look at, cluster and join a stream of posts; goes on where it was stopped or killed."""
    given = {"source": source, "to": to, "dead_letters": dead_letters, "processes": processes, "follow": follow}
    given["columns"] = columns
    overrides = {name: value for name, value in given.items() if value is not None}
    ended, folder = run_flow(overrides, recovery, snapshot_interval)
    if as_json:
        sys.stdout.write(orjson.dumps(asdict(summary_of(ended))).decode() + "\n")
    ending = run_ending(ended.counts, ended.seconds, folder, ended.is_first, ended.drained)
    for told in ending.lines:
        print(f"memewax: {told}", file=sys.stderr)
    if ending.is_useless:
        raise WorldError(USELESS)
