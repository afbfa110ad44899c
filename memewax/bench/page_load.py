"""Measures how fast `memewax page` answers while its store is written."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from connectors.sinks.record_table import POSTS
from connectors.store.store_folder import opened
from core.errors import WorldError
from core.records import Failure, Vector
from dataflows.all_settings import load_settings
from memewax.bench.machine import machine
from memewax.bench.page_readers import Looks, Taken, ask, asked, cpu_seconds, running, searched_by_images
from memewax.bench.page_store import LikePosts, made_store
from memewax.bench.page_writing import writing
from models.loading import load_image, load_text
from models.runtime import Runtime

_POSTS_A_CLUSTER: Final = 30


@dataclass(frozen=True, slots=True)
class PagePlan:
    """What is measured, and how long."""

    folder: Path
    """Of the store: made where there is none."""
    posts: int
    captions: list[str]
    """From which texts are mixed; none: they are made up."""
    thumbnails: int
    """Posts that have one."""
    a_second: int
    """Posts that are written meanwhile."""
    readers: int
    seconds: float
    """Of each run."""
    pause: float
    """Seconds, about, from an answer to the next question of its reader."""
    runs: int


def measure_page(plan: PagePlan) -> dict[str, Any]:
    """The figures: of each view, of the start, and the memory; raises `WorldError` where the page gives an error."""
    settings = load_settings()
    runtime = Runtime.of(settings)
    model, image = load_text(settings, runtime), load_image(settings, runtime)
    clusters = max(2, plan.posts // _POSTS_A_CLUSTER)
    like = LikePosts.of(
        clusters, plan.captions, lambda texts: _vectors(model(texts)), model.name, image.name, image.dimension
    )
    if not (plan.folder / f"{POSTS}.lance").is_dir():
        _say(f"a store of {plan.posts:,} posts is made")
        made_store(plan.folder, plan.posts, plan.thumbnails, like)
    there = int(opened(plan.folder).open_table(POSTS).count_rows())
    found: dict[int, list[Taken]] = {1: [], plan.readers: []}
    by_image: list[Taken] = []
    with writing(plan.folder, there, plan.a_second, like) as written, running(plan.folder) as page:
        connection = page.connected()
        start = time.perf_counter()
        ask(connection, "/")
        first = time.perf_counter() - start
        looks = Looks.of(page, like.captions, seed=there)
        for paths in looks.paths.values():  # what is done at first use is in no figure
            ask(connection, paths[0])
        connection.close()
        begun, before, used = time.monotonic(), written.value, cpu_seconds(page)
        for run in range(plan.runs):
            for many, those in found.items():
                _say(f"run {run + 1} of {plan.runs}, readers: {many}")
                those.append(asked(page, looks, many, plan.seconds, plan.pause))
            _say(f"run {run + 1} of {plan.runs}, searches by an image, one at a time")
            by_image.append({"image": searched_by_images(page, plan.seconds)})
        took = time.monotonic() - begun
        rate = (written.value - before) / took
        cores = {name: round((now - used[name]) / took, 2) for name, now in cpu_seconds(page).items()}
    return {
        "posts": there,
        "clusters": clusters,
        "start_seconds": round(page.seconds, 2),
        "first_answer_seconds": round(first, 3),
        "written_per_second": round(rate, 1),
        "most_rss_mb": round(page.most_bytes / 1e6),
        "cores": cores,
        "readers": {str(many): _figures(those) for many, those in found.items()},
        "by_image": _figures(by_image)["image"],
        "seconds": plan.seconds,
        "pause": plan.pause,
        "runs": plan.runs,
        "machine": machine(),
    }


def _figures(runs: Sequence[Taken]) -> dict[str, Any]:
    """By view: of each run the 50th and 95th percentile, their median, and the lowest and highest of them."""
    views = sorted({view for run in runs for view in run})
    return {view: _view([run[view] for run in runs if view in run]) for view in views}


def _view(runs: Sequence[list[float]]) -> dict[str, Any]:
    found: dict[str, Any] = {"n": sum(map(len, runs))}
    for percent in (50, 95):
        values = [round(float(np.percentile(run, percent)), 1) for run in runs]
        found[f"p{percent}_ms"] = median(values)
        found[f"p{percent}_range_ms"] = [min(values), max(values)]
    return found | {"most_ms": round(max(map(max, runs)), 1)}


def _vectors(made: Sequence[Vector | Failure]) -> list[Vector]:
    if failed := next((it for it in made if isinstance(it, Failure)), None):
        raise WorldError(f"a made-up caption cannot be embedded: {failed.reason}")
    return [it for it in made if not isinstance(it, Failure)]


def _say(text: str) -> None:
    print(f"memewax: {text}", file=sys.stderr)
