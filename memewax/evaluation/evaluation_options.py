"""What the commands of `memewax eval` have in common: their options, and how a report is shown and kept."""

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

DataOption = Annotated[Path, typer.Option("--data", help="A JSONL file with the truth in it, or its folder.")]
LimitOption = Annotated[int | None, typer.Option(min=1, help="Only the first so many.")]
SaveOption = Annotated[bool, typer.Option("--save", help="Keep the figures for `memewax eval compare`.")]
HistoryOption = Annotated[
    Path | None, typer.Option("--history", help="File to keep them in; by default in the user's data folder.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def check_page(page: Path | None) -> None:
    """Where it cannot be written, that is said before hours are measured."""
    if page and not page.absolute().parent.is_dir():
        raise WorldError(f"{page}: there is no folder {page.parent}")


def written(page: Path, write: Callable[[], None]) -> None:
    """Write the page, and say where it is."""
    write()
    print(f"memewax: the page is {page}", file=sys.stderr)


def show(report: Report, data: Path, save: bool, history: Path | None, as_json: bool) -> None:
    """Show the report, and keep it where that is asked for."""
    from memewax.evaluation import history as kept
    from memewax.evaluation.result_tables import report_table

    found = report.to_dict()
    if save or history:
        kept.save(history or kept.history_file(), data, found, datetime.now(UTC))
    if report.failures:
        told = f"{len(report.failures)} without an answer, the first one: {report.failures[0]}"
        print(f"memewax: {told}", file=sys.stderr)
    if as_json:
        sys.stdout.write(orjson.dumps(found).decode() + "\n")
    else:
        Console().print(report_table(report))
