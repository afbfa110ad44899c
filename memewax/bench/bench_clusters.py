"""`memewax bench clusters`: clustering throughput with many live clusters, river's DBSTREAM against memewax's."""

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
"""Number of directions in which members of every cluster vary, as captions vary the images of every template."""

_SLOW: Final = 50
"""Minimum number of embeddings for river's DBSTREAM, which takes some tens of milliseconds per embedding."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Throughput of one clusterer."""

    embeddings_per_second: float
    clusters: int
    """Live clusters at the end."""
    snapshot_bytes: int | None
    n: int
    """Number of timed embeddings."""


def clusters(
    live: Annotated[int, typer.Option("--clusters", min=10, help="Number of live clusters.")] = 1000,
    number: Annotated[int, typer.Option("--embeddings", "-n", min=100, help="Number of timed embeddings.")] = 10_000,
    exemplars: Annotated[
        int, typer.Option(min=0, help="Also time the default clusterer with this many exemplars; 0: do not.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Time river's DBSTREAM and memewax's clusterers on synthetic embeddings of 384 dimensions, on one core."""
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
    """Time `rest`, after `first` has created the clusters untimed."""
    for item in first:
        learn(item)
    start = time.perf_counter()
    for item in rest:
        learn(item)
    seconds = time.perf_counter() - start
    return Speed(round(len(rest) / seconds, 1), count(), snapshot() if snapshot else None, len(rest))


def _embeddings(live: int, count: int) -> Any:
    """Return float32 unit vectors, shape (count, 384), of `live` groups around a large common mean."""
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
