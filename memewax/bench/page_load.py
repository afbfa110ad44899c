"""Load test of `memewax page` while its store is written."""

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
from memewax.bench.page_readers import (
    Latencies,
    PageRequests,
    ask,
    cpu_seconds,
    measure_image_searches,
    measure_readers,
    running_page,
)
from memewax.bench.page_store import SyntheticPosts, fill_store
from memewax.bench.page_writing import writing
from models.loading import load_image, load_text
from models.runtime import Runtime

_POSTS_A_CLUSTER: Final = 30


@dataclass(frozen=True, slots=True)
class PagePlan:
    """Parameters of the load test."""

    folder: Path
    """Folder of the store, which is generated unless it exists."""
    posts: int
    captions: list[str]
    """Captions from which texts are mixed; empty: texts are made up."""
    thumbnails: int
    """Number of posts with a thumbnail."""
    rate: int
    """Posts written per second during the test."""
    readers: int
    seconds: float
    """Duration of each run."""
    pause: float
    """Mean pause of a reader after each answer, in seconds."""
    runs: int


def measure_page(plan: PagePlan) -> dict[str, Any]:
    """Return latencies by view, start-up time, peak memory and CPU use; raises `WorldError` if the page fails."""
    settings = load_settings()
    runtime = Runtime.of(settings)
    model, image = load_text(settings, runtime), load_image(settings, runtime)
    clusters = max(2, plan.posts // _POSTS_A_CLUSTER)
    synthetic = SyntheticPosts.of(
        clusters, plan.captions, lambda texts: _vectors(model(texts)), model.name, image.name, image.dimension
    )
    if not (plan.folder / f"{POSTS}.lance").is_dir():
        _say(f"generating a store of {plan.posts:,} posts")
        fill_store(plan.folder, plan.posts, plan.thumbnails, synthetic)
    stored = int(opened(plan.folder).open_table(POSTS).count_rows())
    found: dict[int, list[Latencies]] = {1: [], plan.readers: []}
    by_image: list[Latencies] = []
    with writing(plan.folder, stored, plan.rate, synthetic) as written, running_page(plan.folder) as page:
        connection = page.connected()
        start = time.perf_counter()
        ask(connection, "/")
        first = time.perf_counter() - start
        requests = PageRequests.of(page, synthetic.captions, seed=stored)
        for paths in requests.paths.values():  # warm-up: exclude one-off work at first use
            ask(connection, paths[0])
        connection.close()
        begun, before, used = time.monotonic(), written.value, cpu_seconds(page)
        for run in range(plan.runs):
            for readers, latencies in found.items():
                _say(f"run {run + 1} of {plan.runs}, readers: {readers}")
                latencies.append(measure_readers(page, requests, readers, plan.seconds, plan.pause))
            _say(f"run {run + 1} of {plan.runs}, searches by image, one at a time")
            by_image.append({"image": measure_image_searches(page, plan.seconds)})
        took = time.monotonic() - begun
        rate = (written.value - before) / took
        cores = {name: round((now - used[name]) / took, 2) for name, now in cpu_seconds(page).items()}
    return {
        "posts": stored,
        "clusters": clusters,
        "start_seconds": round(page.seconds, 2),
        "first_answer_seconds": round(first, 3),
        "written_per_second": round(rate, 1),
        "most_rss_mb": round(page.most_bytes / 1e6),
        "cores": cores,
        "readers": {str(readers): _summary(latencies) for readers, latencies in found.items()},
        "by_image": _summary(by_image)["image"],
        "seconds": plan.seconds,
        "pause": plan.pause,
        "runs": plan.runs,
        "machine": machine(),
    }


def _summary(runs: Sequence[Latencies]) -> dict[str, Any]:
    """Return, by view, the p50 and p95 latency in milliseconds: the median over the runs, and their range."""
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
        raise WorldError(f"a generated caption cannot be embedded: {failed.reason}")
    return [it for it in made if not isinstance(it, Failure)]


def _say(text: str) -> None:
    print(f"memewax: {text}", file=sys.stderr)
