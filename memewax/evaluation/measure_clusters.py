"""`memewax eval clusters`: how well pictures are clustered."""

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
    page: Annotated[Path | None, typer.Option(help="Write a contact sheet of the clusters to this .html file.")] = None,
    save: SaveOption = False,
    history: HistoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Clusters beside templates: on arrival, after merges, an offline oracle's, and BIRCH's."""
    from memewax.evaluation import eval_clusters as clusters
    from memewax.evaluation import pages
    from memewax.evaluation.data import posts_of
    from memewax.evaluation.progress_bar import Steps
    from models.clusterers.choice import make_clusterer
    from models.loading import load_image
    from models.runtime import Runtime

    check_page(page)
    settings = load_settings()
    posts = posts_of(data, "template", limit)
    model, clusterer = load_image(settings, Runtime.of(settings)), make_clusterer(settings)
    with Steps("embedding", len(posts)) as steps:
        embedded = clusters.embed(posts, model, settings, steps)
    report, final = clusters.report(embedded, model.name, clusterer)
    if page:
        written(page, lambda: pages.write_clusters(page, report, embedded, final))
    show(report, data, save, history, as_json)
