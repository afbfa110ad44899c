"""`memewax eval`: how good the models are, on data whose truth is known."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import orjson
import typer
from rich.console import Console

from memewax.settings import load_settings

if TYPE_CHECKING:
    from memewax.evaluation.figures import Report

app = typer.Typer(no_args_is_help=True, help="Measure how good the models of the settings are, on data with its truth.")

_Data = Annotated[Path, typer.Option("--data", help="A JSONL file with the truth in it, or its folder.")]
_Limit = Annotated[int | None, typer.Option(min=1, help="Only the first so many.")]
_Casing = Literal["as-is", "upper", "lower"]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


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


@app.command()
def entities(
    data: _Data,
    limit: _Limit = None,
    casing: Annotated[_Casing, typer.Option(help="Show the texts to the model in this case.")] = "as-is",
    line_width: Annotated[int | None, typer.Option(min=1, help="Break them into lines of so many letters.")] = None,
    as_json: _Json = False,
) -> None:
    """F1 of the spans of names, of any type and with their kind."""
    from memewax.evaluation import entities
    from memewax.evaluation.data import lines_of
    from models.load import load_entities

    lines = lines_of(data, "text", "entities", limit=limit)
    model = load_entities(load_settings())
    _show(entities.measure(lines, model, casing=casing, width=line_width), as_json)


@app.command()
def sentiment(
    data: _Data,
    limit: _Limit = None,
    noise: Annotated[float, typer.Option(min=0, max=1, help="Mistakes a character, as a poor reader makes.")] = 0.0,
    as_json: _Json = False,
) -> None:
    """Recall as the mean over negative, neutral and positive, and correlation with people's ratings."""
    from memewax.evaluation import sentiment
    from models.load import load_sentiment

    lines = sentiment.texts_with_mood(data, limit)
    settings = load_settings()
    model = load_sentiment(settings)
    _show(sentiment.measure(lines, model, by_compound=settings.sentiment == "vader", noise=noise), as_json)


@app.command()
def similarity(data: _Data, limit: _Limit = None, as_json: _Json = False) -> None:
    """Correlation of the cosine of sentences with people's scores."""
    from memewax.evaluation import similarity
    from memewax.evaluation.data import lines_of
    from models.load import load_text

    lines = lines_of(data, "a", "b", "score", limit=limit)
    _show(similarity.measure(lines, load_text(load_settings())), as_json)


def _show(report: "Report", as_json: bool) -> None:
    from memewax.evaluation.tables import table

    if as_json:
        sys.stdout.write(orjson.dumps(report.to_dict()).decode() + "\n")
    else:
        Console().print(table(report))
