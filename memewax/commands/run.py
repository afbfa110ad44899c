"""`memewax run`: posts in, joined records out."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer

from connectors.endpoints import DEAD_LETTERS_TO, POSTS_FROM, RECORDS_TO
from core.endings import last_line, plural
from core.errors import WorldError
from memewax.commands.flow_run import run_flow, summary_of, usage_of

SNAPSHOT_SECONDS: Final = 10.0
_FROM: Final = f"{POSTS_FROM.help}; as often as you like."
_TO: Final = f"{RECORDS_TO.help}; as often as you like."
_DEAD: Final = f"{DEAD_LETTERS_TO.help}; by default beside the first sink."


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
    as_json: Annotated[bool, typer.Option("--json", help="End with one JSON object on stdout.")] = False,
) -> None:
    """Read, look at, cluster and join a stream of posts; goes on where it was stopped or killed."""
    given = {"source": source, "to": to, "dead_letters": dead_letters, "processes": processes, "follow": follow}
    overrides = {name: value for name, value in given.items() if value is not None}
    ended, folder = run_flow(overrides, recovery, snapshot_interval)
    summary = summary_of(ended)
    is_useless = False
    if as_json:
        sys.stdout.write(orjson.dumps(asdict(summary)).decode() + "\n")
    if summary.posts or summary.updated or summary.dead_letters or ended.drained:
        rest = f", {plural(summary.updated, 'record')} again" if summary.updated else ""
        rest += "; stopped, and the same command goes on" if ended.drained else ""
        usage = usage_of(ended)
        print(f"memewax: {last_line(summary.joined + summary.partial, usage, summary.seconds, rest)}", file=sys.stderr)
        is_useless = usage.is_useless and not ended.drained
    elif ended.is_first:
        print("memewax: nothing to read: the source is empty", file=sys.stderr)
    else:
        print(f"memewax: nothing new since the last run; delete {folder} to begin anew", file=sys.stderr)
    if summary.retry_waiting:
        print(
            f"memewax: of {summary.retry_waiting:,} posts the picture may yet be there: "
            "run the same command later, and it is fetched again",
            file=sys.stderr,
        )
    if is_useless:
        raise WorldError("nothing of what was read could be used: `memewax dead-letters list` says why")
