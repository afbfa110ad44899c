"""The command `memewax eval ocr`."""

from pathlib import Path
from typing import Annotated

import typer

from dataflows.all_settings import load_settings
from memewax.evaluation.evaluation_options import (
    DataOption,
    HistoryOption,
    JsonOption,
    LimitOption,
    SaveOption,
    check_page,
    show,
    write_page,
)

# Measures and models are imported late, since they import more than other commands need.


def command(
    data: DataOption,
    limit: LimitOption = None,
    page: Annotated[Path | None, typer.Option(help="Write the worst cases to this .html file.")] = None,
    save: SaveOption = False,
    history: HistoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure character and word error rates, F1 of words in any order, and seconds per image."""
    from memewax.evaluation import eval_ocr as ocr
    from memewax.evaluation import pages
    from memewax.evaluation.data import posts_of
    from memewax.evaluation.progress_bar import Steps
    from models.loading import load_ocr
    from models.runtime import Runtime

    check_page(page)
    settings = load_settings()
    posts = posts_of(data, "text", limit)
    model = load_ocr(settings, Runtime.of(settings))
    with Steps("reading", len(posts)) as steps:
        cases = ocr.read(posts, model, settings, steps)
    report = ocr.report(cases, model.name)
    if page:
        write_page(page, lambda: pages.write_ocr(page, report, cases))
    show(report, data, save, history, as_json)
