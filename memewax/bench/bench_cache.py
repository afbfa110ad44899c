"""`memewax bench cache`: latency of cache hits, and size of a cache while it evicts many more results than it holds."""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import orjson
import typer

from connectors.caching.cached_results import IMAGE, Asked, CachedResults
from connectors.caching.result_cache import ResultCache
from core.extras import needs_extra
from core.records import CachedImage, CachedResult, Features, Line, Message, Post, Reading
from core.telemetry import configure_logging
from memewax.bench.machine import machine

_STAGES: Final = ("embedding", "text")
_DIMENSION: Final = 384
_PATCHES: Final = (8, 8, _DIMENSION)
_THUMBNAIL: Final = 11_000
"""Typical size of a thumbnail, in bytes."""
_LINES: Final = 6
_SMALL: Final = 300
"""Size of a small value in bytes, so that the cache holds as many keys as possible."""
_BATCH: Final = 8
"""Results per write, as in a batch of a model."""
_SAMPLES: Final = 200


@needs_extra("bench", "memewax bench cache")
def cache(
    keys: Annotated[int, typer.Option(min=1000, help="Number of small results to write.")] = 100_000,
    megabytes: Annotated[int, typer.Option(min=1, help="Size limit of the cache for small results, in MB.")] = 100,
    images: Annotated[int, typer.Option(min=100, help="Number of images in the cache for hits.")] = 2000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Time cache hits and writes of an image's results; measure files and memory while many keys are written."""
    configure_logging("error")
    with tempfile.TemporaryDirectory(prefix="memewax-cache-") as name:
        report = {
            "hits": time_hits(Path(name, "images"), images),
            "many": overfill(Path(name, "many"), keys, megabytes * 10**6),
            "machine": machine(),
        }
    sys.stdout.write(orjson.dumps(report, option=0 if as_json else orjson.OPT_INDENT_2).decode() + "\n")


def time_hits(folder: Path, images: int) -> dict[str, Any]:
    """Write results as large as those of real models for `images` images, and look them all up in another order."""
    store = ResultCache(folder, 2**40)
    known = CachedResults(store, {IMAGE: "", **dict.fromkeys(_STAGES, "model")}, _STAGES)
    random = np.random.default_rng(7)
    names = [sha256(str(number).encode()).hexdigest() for number in range(images)]
    writes = [_timed(lambda name=name: _keep(known, name, random)) for name in names]  # type: ignore[misc]
    order = random.permutation(images)
    hits = [_timed(lambda name=names[it]: _look_up(known, name)) for it in order]  # type: ignore[misc]
    size = store.bytes()
    known.close()
    return {
        "images": images,
        "hit_ms": _spread(hits),
        "keep_ms": _spread(writes),
        "kb": round(size / images / 1e3, 1),
    }


def overfill(folder: Path, keys: int, bound: int) -> dict[str, Any]:
    """Write many more small results than a cache of `bound` bytes holds, and sample the size of files and process."""
    import psutil

    process, store = psutil.Process(os.getpid()), ResultCache(folder, bound)
    start, most_bytes, most_rss = time.perf_counter(), 0, 0
    for first in range(0, keys, _BATCH):
        batch = [store.hashed(str(number).encode()) for number in range(first, min(keys, first + _BATCH))]
        store.put({it: it * (_SMALL // len(it)) for it in batch}, {it: (it[::-1],) for it in batch})
        if first % max(_BATCH, keys // _SAMPLES // _BATCH * _BATCH) == 0:
            most_bytes = max(most_bytes, sum(it.stat().st_size for it in folder.iterdir()))
            most_rss = max(most_rss, process.memory_info().rss)
    seconds = time.perf_counter() - start
    newest = store.hashed(str(keys - 1).encode())
    has_newest = newest in store.get([newest])
    store.close()
    return {
        "keys": keys,
        "bound_mb": bound / 1e6,
        "most_mb": round(most_bytes / 1e6, 1),
        "most_rss_mb": round(most_rss / 1e6, 1),
        "ms_a_key": round(seconds / keys * 1e3, 3),
        "has_newest": has_newest,
    }


def _keep(known: CachedResults, name: str, random: np.random.Generator) -> None:
    post = Post(f"{name[:12]}-a", f"https://a.example/{name}.png", Message(b"", "bench"), picture_sha256=name)
    known.keep_image(post, CachedResult(CachedImage(740, 780, random.bytes(_THUMBNAIL)), seconds=0.01))
    vector = random.normal(size=_DIMENSION).astype(np.float32)
    features = Features(vector, random.integers(-127, 128, _PATCHES, np.int8), random.bytes(32))
    box = ((1.5, 2.5), (300.5, 2.5), (300.5, 40.5), (1.5, 40.5))
    reading = Reading(tuple(Line("when the machine works on monday", 0.97, box) for _ in range(_LINES)))
    for stage, value in zip(_STAGES, (features, reading), strict=True):
        asked = [Asked(name.encode(), value, known.names_of(post))]
        known.answers(stage, "model", asked, lambda items: items)


def _look_up(known: CachedResults, name: str) -> None:
    assert len(known.of_image(name)) == 1 + len(_STAGES)


def _timed(call: Callable[[], None]) -> float:
    """Call a function and return the milliseconds that it took."""
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def _spread(ms: list[float]) -> dict[str, float]:
    middle, high, most = np.percentile(ms, (50, 99, 100))
    return {"median": round(float(middle), 3), "p99": round(float(high), 3), "most": round(float(most), 3)}
