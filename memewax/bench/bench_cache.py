"""`memewax bench cache`: what a hit takes, and what a cache weighs while far more comes than it holds."""

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
"""Bytes: what one has as a rule."""
_LINES: Final = 6
_SMALL: Final = 300
"""Bytes of a value of the many keys: as many keys as can be for the room."""
_BATCH: Final = 8
"""Results that are kept together, as a batch of a model is."""
_LOOKS: Final = 200


@needs_extra("bench", "memewax bench cache")
def cache(
    keys: Annotated[int, typer.Option(min=1000, help="Small results that come, one after another.")] = 100_000,
    megabytes: Annotated[int, typer.Option(min=1, help="Bound of the cache that they come into.")] = 100,
    images: Annotated[int, typer.Option(min=100, help="Images in the cache in which known ones are looked up.")] = 2000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Time of a hit and of keeping an image's results; size of files and process while many keys come."""
    configure_logging("error")
    with tempfile.TemporaryDirectory(prefix="memewax-cache-") as name:
        report = {
            "hits": looked_up(Path(name, "images"), images),
            "many": grown(Path(name, "many"), keys, megabytes * 10**6),
            "machine": machine(),
        }
    sys.stdout.write(orjson.dumps(report, option=0 if as_json else orjson.OPT_INDENT_2).decode() + "\n")


def looked_up(folder: Path, images: int) -> dict[str, Any]:
    """Keep results as real models give them for so many images, and look them all up in another order."""
    held = ResultCache(folder, 2**40)
    known = CachedResults(held, {IMAGE: "", **dict.fromkeys(_STAGES, "model")}, _STAGES)
    random = np.random.default_rng(7)
    names = [sha256(str(number).encode()).hexdigest() for number in range(images)]
    kept = [_timed(lambda name=name: _keep(known, name, random)) for name in names]  # type: ignore[misc]
    order = random.permutation(images)
    found = [_timed(lambda name=names[it]: _look(known, name)) for it in order]  # type: ignore[misc]
    size = held.bytes()
    known.close()
    return {
        "images": images,
        "hit_ms": _spread(found),
        "keep_ms": _spread(kept),
        "kb": round(size / images / 1e3, 1),
    }


def grown(folder: Path, keys: int, bound: int) -> dict[str, Any]:
    """Let far more small results come than a cache may hold, and look at its files and at the process meanwhile."""
    import psutil

    process, held = psutil.Process(os.getpid()), ResultCache(folder, bound)
    start, most_bytes, most_rss = time.perf_counter(), 0, 0
    for first in range(0, keys, _BATCH):
        some = [held.hashed(str(number).encode()) for number in range(first, min(keys, first + _BATCH))]
        held.put({it: it * (_SMALL // len(it)) for it in some}, {it: (it[::-1],) for it in some})
        if first % max(_BATCH, keys // _LOOKS // _BATCH * _BATCH) == 0:
            most_bytes = max(most_bytes, sum(it.stat().st_size for it in folder.iterdir()))
            most_rss = max(most_rss, process.memory_info().rss)
    seconds = time.perf_counter() - start
    newest = held.hashed(str(keys - 1).encode())
    has_newest = newest in held.get([newest])
    held.close()
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


def _look(known: CachedResults, name: str) -> None:
    assert len(known.of_image(name)) == 1 + len(_STAGES)


def _timed(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def _spread(ms: list[float]) -> dict[str, float]:
    middle, high, most = np.percentile(ms, (50, 99, 100))
    return {"median": round(float(middle), 3), "p99": round(float(high), 3), "most": round(float(most), 3)}
