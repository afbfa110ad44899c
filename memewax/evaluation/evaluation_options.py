"""Shared parts of the commands of `memewax eval`: options, and printing and saving of reports."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from core.errors import WorldError
from memewax.evaluation.measures import Report

DataOption = Annotated[Path, typer.Option("--data", help="A JSONL file with labels, or its folder.")]
LimitOption = Annotated[int | None, typer.Option(min=1, help="Read at most this many items.")]
SaveOption = Annotated[bool, typer.Option("--save", help="Save the figures for `memewax eval compare`.")]
HistoryOption = Annotated[
    Path | None, typer.Option("--history", help="File to save them in; by default in the user's data folder.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def check_page(page: Path | None) -> None:
    """Raise `WorldError` if the page's folder does not exist, before hours are spent on measuring."""
    if page and not page.absolute().parent.is_dir():
        raise WorldError(f"{page}: there is no folder {page.parent}")


def write_page(page: Path, write: Callable[[], None]) -> None:
    """Write the page and report where it is."""
    write()
    print(f"memewax: the page is {page}", file=sys.stderr)


def show(report: Report, data: Path, save: bool, history: Path | None, as_json: bool) -> None:
    """Print the report, and save it if asked to."""
    from memewax.evaluation import history as saved_runs
    from memewax.evaluation.result_tables import report_table

    found = report.to_dict()
    if save or history:
        saved_runs.save(history or saved_runs.history_file(), data, found, datetime.now(UTC))
    if report.failures:
        print(f"memewax: {len(report.failures)} failed, the first: {report.failures[0]}", file=sys.stderr)
    if as_json:
        sys.stdout.write(orjson.dumps(found).decode() + "\n")
    else:
        Console().print(report_table(report))
