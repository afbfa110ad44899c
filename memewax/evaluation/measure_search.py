"""The command `memewax eval search`."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from core.errors import WorldError
from dataflows.all_settings import load_settings
from memewax.evaluation.evaluation_options import DataOption, HistoryOption, JsonOption, LimitOption, SaveOption, show

# Measures and models are imported late, since they import more than other commands need.


def command(
    data: DataOption,
    store: Annotated[
        Path | None, typer.Option(help="A store that has these posts already; by default the flow makes one first.")
    ] = None,
    limit: LimitOption = None,
    save: SaveOption = False,
    history: HistoryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure recall of posts by a few words of their text, and by their images cropped and recompressed.

    Also measures how often nothing is found, rightly, for what is not there.
    """
    from memewax.evaluation import eval_search
    from memewax.evaluation.data import posts_of
    from memewax.evaluation.eval_image_search import measure_images, search_by_image
    from search.answering import load_embedders
    from search.corpus import Corpus
    from search.corpus_layout import POSTS
    from search.image_search import ImageSearch
    from search.open_corpora import IMAGES
    from search.post_search import PostSearch

    posts = posts_of(data, "text", limit)
    texts = {it.post.global_id: str(it.truth) for it in posts}
    models = load_embedders(load_settings(), images=True)
    with tempfile.TemporaryDirectory(prefix="memewax-eval-") as name:
        folder = store or _made(data, Path(name))
        corpus = Corpus.open(folder, POSTS)
        search = PostSearch.of(corpus, folder, models.text)
        known = corpus.ids()
        texts = {id_: text for id_, text in texts.items() if id_ in known}
        if not texts:
            raise WorldError(f"{store or data}: none of the posts is in the store")
        used = {**models.names, "posts": corpus.model}
        report = eval_search.measure(texts, eval_search.found_by(search), used)
        files = {it.post.global_id: it.image for it in posts if it.post.global_id in known and it.image.is_file()}
        if files:
            images = ImageSearch(Corpus.open(folder, POSTS, IMAGES))
            looked = measure_images(files, search_by_image(images, models))
            report = replace(report, figures={**report.figures, **looked})
    show(report, data, save, history, as_json)


def _made(data: Path, folder: Path) -> Path:
    """Make a store of the posts by running the flow; return its folder."""
    from memewax.commands.flow_run import run_flow

    run_flow({"source": (str(data),), "to": (str(folder / "store"),)}, None, 10.0)
    return folder / "store"
