"""`memewax eval ocr`: how well images are read."""

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
    written,
)

# Measures and models are imported late, since they bring more than other commands need.


def command(
    data: DataOption,
    limit: LimitOption = None,
    page: Annotated[Path | None, typer.Option(help="Write the worst cases to this .html file.")] = None,
    save: SaveOption = False,
    history: HistoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Character and word error rates, words found in any order, and seconds an image."""
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
        written(page, lambda: pages.write_ocr(page, report, cases))
    show(report, data, save, history, as_json)
