"""Benchmark of the default clusterer at full capacity, with exemplars that are nearly all unique."""

import pickle
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from core.records import Patches, Vector
from models.clusterer import ImageContext
from models.clusterers.patches import SIDE
from models.clusterers.verified import VerifiedClusterer

_DIMENSION: Final = 384
_EPOCH: Final = 1000
"""Number of images between two snapshots."""
_TEMPLATES: Final = 50
_OF_A_TEMPLATE: Final = 0.1
"""Share of images that are variants of a template."""


@dataclass(frozen=True, slots=True)
class FullSpeed:
    """Throughput, snapshot cost, resume time and memory of a full clusterer."""

    images_per_second: float
    exemplars: int
    clusters: int
    n: int
    """Number of timed images."""
    snapshot_ms: float
    """Median time of a snapshot; there is one per 1,000 images."""
    snapshot_ms_at_most: float
    snapshot_mb: float
    """Maximum size of a snapshot, including the growth of the log files since the last one."""
    resume_seconds: float
    rss_mb: float
    """Growth of the process from 1 percent of the exemplars to all: exemplars and their index, without libraries."""


def time_full(exemplars: int, number: int) -> FullSpeed:
    """Fill a clusterer with exemplars, then time `number` images, their snapshots and a restore."""
    import psutil

    memory = psutil.Process().memory_info
    with TemporaryDirectory() as name:
        folder = Path(name)
        clusterer = VerifiedClusterer(capacity=exemplars)
        clusterer.set_log_folder(folder)
        few = full = 0
        seconds = 0.0
        snapshots: list[tuple[float, float]] = []  # milliseconds and megabytes of each
        state = b""
        for place, (embedding, patches) in enumerate(_images(exemplars + number)):
            start = time.perf_counter()
            clusterer.learn(embedding, ImageContext(patches, str(place), f"author {place % 1000}"))
            seconds += time.perf_counter() - start
            if place == exemplars // 100:
                few = memory().rss
            if place == exemplars - 1:
                seconds, snapshots, full = 0.0, [], memory().rss
            if place % _EPOCH == _EPOCH - 1 or place == exemplars + number - 1:
                before, start = _bytes_in(folder), time.perf_counter()
                state = pickle.dumps(clusterer.state())
                took = time.perf_counter() - start
                snapshots.append((1e3 * took, (len(state) + max(0, _bytes_in(folder) - before)) / 1e6))
        kept = clusterer.exemplars()
        start = time.perf_counter()
        again = VerifiedClusterer(capacity=exemplars)
        again.set_log_folder(folder)
        again.restore(pickle.loads(state))  # noqa: S301 - our own
        resume = time.perf_counter() - start
    times, sizes = zip(*snapshots, strict=True)
    return FullSpeed(
        round(number / seconds, 1),
        kept,
        clusterer.count(),
        number,
        round(median(times), 1),
        round(max(times), 1),
        round(max(sizes), 2),
        round(resume, 2),
        round((full - few) / 1e6, 1),
    )


def _images(count: int) -> Iterator[tuple[Vector, Patches]]:
    """Yield embeddings around a large common mean, with int8 patches; a tenth of the images vary fifty templates."""
    random = np.random.default_rng(0)
    mean = 40 * np.eye(_DIMENSION)[0]
    templates = random.normal(size=(_TEMPLATES, SIDE, SIDE, _DIMENSION))
    strangers = random.normal(size=(2 * SIDE, 2 * SIDE, _DIMENSION)).astype(np.float32)
    for _ in range(count):
        if random.random() < _OF_A_TEMPLATE:
            grid = templates[random.integers(_TEMPLATES)] + 0.5 * random.normal(size=(SIDE, SIDE, 1))
        else:  # random patches, with new random signs for each direction: unlike every earlier image
            cells = random.integers(2 * SIDE, size=(2, SIDE, SIDE))
            grid = strangers[cells[0], cells[1]] * random.choice((-1, 1), size=_DIMENSION)
        embedding = mean + SIDE * grid.mean(axis=(0, 1))
        yield (
            (embedding / np.linalg.norm(embedding)).astype(np.float32),
            np.clip(30 * grid, -127, 127).astype(np.int8),
        )


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
