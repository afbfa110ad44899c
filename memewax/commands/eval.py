"""`memewax eval`: how good the models are, on data whose truth is known."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import orjson
import typer
from rich.console import Console

from core.errors import WorldError
from core.extras import needs_extra
from dataflows.all_settings import load_settings

if TYPE_CHECKING:
    from memewax.evaluation.measures import Report

_MEASURED = needs_extra("eval", "memewax eval")

app = typer.Typer(no_args_is_help=True, help="Measure how good the models of the settings are, on data with its truth.")

_Data = Annotated[Path, typer.Option("--data", help="A JSONL file with the truth in it, or its folder.")]
_Limit = Annotated[int | None, typer.Option(min=1, help="Only the first so many.")]
_Casing = Literal["as-is", "upper", "lower"]
_Save = Annotated[bool, typer.Option("--save", help="Keep the figures for `memewax eval compare`.")]
_History = Annotated[
    Path | None, typer.Option("--history", help="File to keep them in; by default in the user's data folder.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]

# Measures and models are imported late, since they bring more than other commands need.


@app.command()
@_MEASURED
def ocr(
    data: _Data,
    limit: _Limit = None,
    page: Annotated[Path | None, typer.Option(help="Write the worst cases to this .html file.")] = None,
    save: _Save = False,
    history: _History = None,
    as_json: _Json = False,
) -> None:
    """Character and word error rates, words found in any order, and seconds an image."""
    from memewax.evaluation import eval_ocr as ocr
    from memewax.evaluation import pages
    from memewax.evaluation.data import posts_of
    from memewax.evaluation.progress_bar import Steps
    from models.loading import load_ocr
    from models.runtime import Runtime

    _check_page(page)
    settings = load_settings()
    posts = posts_of(data, "text", limit)
    model = load_ocr(settings, Runtime.of(settings))
    with Steps("reading", len(posts)) as steps:
        cases = ocr.read(posts, model, settings, steps)
    report = ocr.report(cases, model.name)
    if page:
        _written(page, lambda: pages.write_ocr(page, report, cases))
    _show(report, data, save, history, as_json)


@app.command()
@_MEASURED
def clusters(
    data: _Data,
    limit: _Limit = None,
    page: Annotated[Path | None, typer.Option(help="Write a contact sheet of the clusters to this .html file.")] = None,
    save: _Save = False,
    history: _History = None,
    as_json: _Json = False,
) -> None:
    """Clusters beside templates: on arrival, after merges, an offline oracle's, and BIRCH's."""
    from memewax.evaluation import eval_clusters as clusters
    from memewax.evaluation import pages
    from memewax.evaluation.data import posts_of
    from memewax.evaluation.progress_bar import Steps
    from models.clusterers.choice import make_clusterer
    from models.loading import load_image
    from models.runtime import Runtime

    _check_page(page)
    settings = load_settings()
    posts = posts_of(data, "template", limit)
    model, clusterer = load_image(settings, Runtime.of(settings)), make_clusterer(settings)
    with Steps("embedding", len(posts)) as steps:
        embedded = clusters.embed(posts, model, settings, steps)
    report, final = clusters.report(embedded, model.name, clusterer)
    if page:
        _written(page, lambda: pages.write_clusters(page, report, embedded, final))
    _show(report, data, save, history, as_json)


@app.command()
@_MEASURED
def entities(
    data: _Data,
    limit: _Limit = None,
    casing: Annotated[_Casing, typer.Option(help="Show the texts to the model in this case.")] = "as-is",
    line_width: Annotated[int | None, typer.Option(min=1, help="Break them into lines of so many letters.")] = None,
    save: _Save = False,
    history: _History = None,
    as_json: _Json = False,
) -> None:
    """F1 of the spans of names, of any type and with their kind."""
    from memewax.evaluation import eval_entities as entities
    from memewax.evaluation.data import lines_of
    from models.loading import load_entities
    from models.runtime import Runtime

    lines = lines_of(data, "text", "entities", limit=limit)
    settings = load_settings()
    model = load_entities(settings, Runtime.of(settings))
    _show(entities.measure(lines, model, casing=casing, width=line_width), data, save, history, as_json)


@app.command()
@_MEASURED
def sentiment(
    data: _Data,
    limit: _Limit = None,
    noise: Annotated[float, typer.Option(min=0, max=1, help="Mistakes a character, as a poor reader makes.")] = 0.0,
    save: _Save = False,
    history: _History = None,
    as_json: _Json = False,
) -> None:
    """Recall as the mean over negative, neutral and positive, and correlation with people's ratings."""
    from memewax.evaluation import eval_sentiment as sentiment
    from models.loading import load_sentiment
    from models.runtime import Runtime

    lines = sentiment.texts_with_mood(data, limit)
    settings = load_settings()
    model = load_sentiment(settings, Runtime.of(settings))
    report = sentiment.measure(lines, model, by_compound=settings.sentiment == "vader", noise=noise)
    _show(report, data, save, history, as_json)


@app.command()
@_MEASURED
def similarity(
    data: _Data, limit: _Limit = None, save: _Save = False, history: _History = None, as_json: _Json = False
) -> None:
    """Correlation of the cosine of sentences with people's scores."""
    from memewax.evaluation import eval_similarity as similarity
    from memewax.evaluation.data import lines_of
    from models.loading import load_text
    from models.runtime import Runtime

    lines = lines_of(data, "a", "b", "score", limit=limit)
    settings = load_settings()
    _show(similarity.measure(lines, load_text(settings, Runtime.of(settings))), data, save, history, as_json)


@app.command()
def compare(history: _History = None, as_json: _Json = False) -> None:
    """The last saved run of each kind beside the one before, on the same data with the same options."""
    from memewax.evaluation.history import compare, history_file, load
    from memewax.evaluation.result_tables import comparison_table

    found = compare(load(history or history_file()))
    if as_json:
        sys.stdout.write(orjson.dumps([it.to_dict() for it in found]).decode() + "\n")
        return
    console = Console()
    for comparison in found:
        console.print(comparison_table(comparison))


def _check_page(page: Path | None) -> None:
    """Where it cannot be written, that is said before hours are measured."""
    if page and not page.absolute().parent.is_dir():
        raise WorldError(f"{page}: there is no folder {page.parent}")


def _written(page: Path, write: Callable[[], None]) -> None:
    write()
    print(f"memewax: the page is {page}", file=sys.stderr)


def _show(report: "Report", data: Path, save: bool, history: Path | None, as_json: bool) -> None:
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
