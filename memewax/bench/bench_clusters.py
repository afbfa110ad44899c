"""`memewax bench clusters`: embeddings a second among many live clusters, river's own and ours in one run."""

import pickle
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final

import numpy as np
import orjson
import typer
from threadpoolctl import threadpool_limits

_DIMENSION: Final = 384
_DIRECTIONS: Final = 16
"""In which members of every cluster differ, as captions make images of every template differ."""

_SLOW: Final = 50
"""Embeddings at least for river's own, which takes some tens of milliseconds each."""


@dataclass(frozen=True, slots=True)
class Speed:
    """One clusterer."""

    embeddings_per_second: float
    clusters: int
    """Alive when the clock was stopped."""
    snapshot_bytes: int | None
    n: int
    """Embeddings that were timed."""


def clusters(
    live: Annotated[int, typer.Option("--clusters", min=10, help="Clusters that are alive.")] = 1000,
    number: Annotated[int, typer.Option("--embeddings", "-n", min=100, help="Embeddings timed.")] = 10_000,
    exemplars: Annotated[
        int, typer.Option(min=0, help="Also time the default clusterer when so many exemplars are kept; 0: not.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Time clusterers on made embeddings of 384 numbers, on one core: river's DBSTREAM and ours."""
    with threadpool_limits(1):
        report = {name: asdict(speed) for name, speed in _speeds(live, number)}
        if exemplars:
            from memewax.bench.full_gallery import time_full

            report["verified"] = asdict(time_full(exemplars, number))
    sys.stdout.write(orjson.dumps(report, option=0 if as_json else orjson.OPT_INDENT_2).decode() + "\n")


def _speeds(live: int, number: int) -> Iterator[tuple[str, Speed]]:
    from river.cluster import DBSTREAM

    from models.clusterers.rca_clusterer import RcaClusterer
    from models.clusterers.vector_dbstream import VectorDBSTREAM

    first, rest = _embeddings(live, live), _embeddings(live, number)
    parameters = {"clustering_threshold": 0.9, "fading_factor": 1e-4, "cleanup_interval": 1000}
    centred = list(_centred(np.vstack([first, rest]), first))
    points = [dict(enumerate(point.tolist())) for point in centred[: live + max(_SLOW, number // 100)]]
    river: Any = DBSTREAM(**parameters)
    yield "river_dbstream", _timed(river.learn_one, points[:live], points[live:], lambda: len(river.micro_clusters))
    arrays = VectorDBSTREAM(**parameters)
    yield "dbstream", _timed(arrays.learn, centred[:live], centred[live:], lambda: len(arrays.keys))
    relevant = RcaClusterer()
    yield (
        "relevant",
        _timed(relevant.learn, list(first), list(rest), relevant.count, lambda: len(pickle.dumps(relevant.state()))),
    )


def _timed(
    learn: Callable[[Any], Any],
    first: list[Any],
    rest: list[Any],
    count: Callable[[], int],
    snapshot: Callable[[], int] | None = None,
) -> Speed:
    """Time `rest`, after `first` has made the clusters."""
    for item in first:
        learn(item)
    start = time.perf_counter()
    for item in rest:
        learn(item)
    seconds = time.perf_counter() - start
    return Speed(round(len(rest) / seconds, 1), count(), snapshot() if snapshot else None, len(rest))


def _embeddings(live: int, count: int) -> Any:
    """Float32 unit vectors, shape (count, 384), of `live` groups around a large common mean."""
    random = np.random.default_rng(live)  # the same groups each time
    groups = random.normal(size=(live, _DIMENSION))
    directions = random.normal(size=(_DIRECTIONS, _DIMENSION))
    members = np.concatenate([np.arange(live), np.random.default_rng(count).integers(live, size=count - live)])
    random = np.random.default_rng(count)
    caption = random.normal(size=(count, _DIRECTIONS)) @ directions
    points = 40 * np.eye(_DIMENSION)[0] + groups[members] + 0.1 * caption + 0.2 * random.normal(size=caption.shape)
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def _centred(embeddings: Any, known: Any) -> Any:
    centred = embeddings.astype(np.float64) - known.mean(axis=0)
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)
