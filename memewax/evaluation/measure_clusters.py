"""The command `memewax eval clusters`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from core.errors import SettingsError
from dataflows.all_settings import Settings, load_settings
from memewax.evaluation.evaluation_options import (
    HistoryOption,
    JsonOption,
    LimitOption,
    SaveOption,
    check_page,
    show,
    write_page,
)

if TYPE_CHECKING:
    from memewax.evaluation.embedded_posts import EmbeddedPosts

# Measures and models are imported late, since they import more than other commands need.


def command(
    data: Annotated[Path | None, typer.Option("--data", help="A JSONL file with labels, or its folder.")] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(help="In place of --data, an .npz file: e, n x d floats in order of arrival; label, n strings."),
    ] = None,
    limit: LimitOption = None,
    leave_out: Annotated[
        Path | None, typer.Option(help="File of pairs to ignore: two ids separated by a tab on each line.")
    ] = None,
    orders: Annotated[int, typer.Option(min=1, help="Shuffle the posts this many times; 1 keeps their order.")] = 1,
    template_share: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Thin the posts until this share is of templates that occur again."),
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Write a contact sheet of the clusters to this .html file.")] = None,
    save: SaveOption = False,
    history: HistoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure clusters against templates: on arrival, after merges, by an offline oracle and by BIRCH.

    MEMEWAX_CLUSTERER chooses the clusterer.
    """
    from memewax.evaluation import eval_clusters as clusters
    from memewax.evaluation import pages
    from memewax.evaluation.embedded_posts import read_embeddings, read_pairs
    from models.clusterers.choice import make_clusterer

    check_page(page)
    source = data or embeddings
    if source is None or (data and embeddings):
        raise SettingsError("name either posts with --data, or vectors with --embeddings, not both")
    settings = load_settings()
    left_out = read_pairs(leave_out) if leave_out else frozenset()
    if embeddings:
        embedded, model = read_embeddings(embeddings, limit), "given"
    else:
        embedded, model = _embedded(source, limit, settings)
    report, shown = clusters.report(
        embedded,
        model,
        lambda: make_clusterer(settings),
        orders=orders,
        share=template_share,
        left_out=left_out,
    )
    if page:
        write_page(page, lambda: pages.write_clusters(page, report, shown.embedded, shown.labels))
    show(report, source, save, history, as_json)


def _embedded(data: Path, limit: int | None, settings: Settings) -> "tuple[EmbeddedPosts, str]":
    """Embed the posts of a file; return them and the name of the model."""
    from memewax.evaluation.data import posts_of
    from memewax.evaluation.embedded_posts import embed
    from memewax.evaluation.progress_bar import Steps
    from models.loading import load_image
    from models.runtime import Runtime

    posts = posts_of(data, "template", limit)
    model = load_image(settings, Runtime.of(settings))
    with Steps("embedding", len(posts)) as steps:
        return embed(posts, model, settings, steps), model.name
