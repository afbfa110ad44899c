"""`memewax run`: read posts, analyse them, and write joined records."""

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
_FROM: Final = f"{POSTS_FROM.help}; repeat it for several."
_TO: Final = f"{RECORDS_TO.help}; repeat it for several."
_DEAD: Final = f"{DEAD_LETTERS_TO.help}; by default beside the first sink."
COLUMN: Final = (
    "NAME=FIELD: the file's name of a post's field (url, desc, …) or of a custom column; finds usual names itself."
)


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
    processes: Annotated[int | None, typer.Option(help="Number of processes; they share the cores.", min=1)] = None,
    follow: Annotated[
        bool | None, typer.Option(help="Wait for more posts at the end of the source, or end there.")
    ] = None,
    columns: Annotated[list[str] | None, typer.Option("--column", help=COLUMN)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout at the end.")] = False,
) -> None:
    """Analyse, cluster and join a stream of posts; resumes where it was stopped or killed."""
    given = {"source": source, "to": to, "dead_letters": dead_letters, "processes": processes, "follow": follow}
    given["columns"] = columns
    overrides = {name: value for name, value in given.items() if value is not None}
    ended, folder = run_flow(overrides, recovery, snapshot_interval)
    if as_json:
        sys.stdout.write(orjson.dumps(asdict(summary_of(ended))).decode() + "\n")
    ending = run_ending(ended.counts, ended.seconds, folder, ended.is_first, ended.drained)
    for line in ending.lines:
        print(f"memewax: {line}", file=sys.stderr)
    if ending.is_useless:
        raise WorldError(USELESS)
