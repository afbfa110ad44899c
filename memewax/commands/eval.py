"""`memewax eval`: how good the models are, on data whose truth is known."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.console import Console

from memewax.settings import load_settings

if TYPE_CHECKING:
    from memewax.evaluation.figures import Report

app = typer.Typer(no_args_is_help=True, help="Measure how good the models of the settings are, on data with its truth.")

_Data = Annotated[Path, typer.Option("--data", help="A JSONL file with the truth in it, or its folder.")]
_Limit = Annotated[int | None, typer.Option(min=1, help="Only the first so many.")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


@app.callback()
def _eval() -> None:
    """Keep `ocr` a command of its own, though it is the only one."""


@app.command()
def ocr(data: _Data, limit: _Limit = None, as_json: _Json = False) -> None:
    """Character and word error rates, words found in any order, and seconds an image."""
    # Late, since the measures bring more than other commands need.
    from memewax.evaluation import ocr
    from memewax.evaluation.data import posts_of
    from memewax.evaluation.progress import Steps
    from models.load import load_ocr

    settings = load_settings()
    posts = posts_of(data, "text", limit)
    model = load_ocr(settings)
    with Steps("reading", len(posts)) as steps:
        cases = ocr.read(posts, model, settings, steps)
    _show(ocr.report(cases, model.name), as_json)


def _show(report: "Report", as_json: bool) -> None:
    from memewax.evaluation.tables import table

    if as_json:
        sys.stdout.write(orjson.dumps(report.to_dict()).decode() + "\n")
    else:
        Console().print(table(report))
