"""`memewax bench growth`: what a store weighs while posts come, and the process that writes it."""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from typing import Annotated, Any, Final

import numpy as np
import orjson
import typer

from connectors.sinks.record_table import posts_table
from connectors.sinks.sink import Row
from core.extras import needs_extra
from core.telemetry import configure_logging
from models.standin import StandInImage

DIMENSION: Final = 384
_TEMPLATES: Final = 40
_BATCH: Final = 512
_POOL: Final = 2048
"""Different posts; what comes after has other ids."""
_WORDS: Final = [
    "when",
    "you",
    "nobody",
    "me",
    "my",
    "boss",
    "on",
    "monday",
    "the",
    "cat",
    "works",
    "machine",
    "coffee",
    "code",
    "bug",
    "friday",
    "again",
    "why",
    "how",
]


@dataclass(frozen=True, slots=True)
class Weight:
    """What there is after so many posts."""

    posts: int
    seconds: float
    files: int
    mb: float
    """Of the store, as it lies on the disk."""
    data_mb: float
    """Of its rows, put together: the last put-together store, by the number of rows."""
    rss_mb: float
    """Of the process, between two writes; while tables are put together it has more."""


@needs_extra("bench", "memewax bench growth")
def growth(
    posts: Annotated[int, typer.Option("--posts", "-n", min=100, help="Posts that come.")] = 100_000,
    steps: Annotated[int, typer.Option(min=2, help="So often it is looked at.")] = 20,
    batch: Annotated[int, typer.Option(min=1, help="Posts that are written together.")] = _BATCH,
    flow: Annotated[
        bool, typer.Option("--flow", help="Let the whole flow write it, killed half-way, instead of the table alone.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write posts with mixed vectors of 384 numbers and made-up captions into a store, and weigh it as it grows."""
    configure_logging("error")
    of_flow: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="memewax-growth-") as name:
        if flow:
            from memewax.bench.growth_of_flow import grown

            made = grown(Path(name), posts, steps)
            found = list(made.steps)
            of_flow = {key: value for key, value in asdict(made).items() if key != "steps"}
        else:
            found = list(weighed(Path(name), posts, steps, batch))
    tenth = found[max(0, len(found) // 10 - 1)]
    report = {
        "posts": posts,
        **of_flow,
        "most_mb_to_data": round(max(it.mb / it.data_mb for it in found), 3),
        "most_files": max(it.files for it in found),
        "rss_to_first_tenth": round(max(it.rss_mb for it in found) / tenth.rss_mb, 3),
        "most_rss_mb": round(getrusage(RUSAGE_CHILDREN if flow else RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1),
        "steps": [asdict(it) for it in found],
    }
    sys.stdout.write(orjson.dumps(report, option=0 if as_json else orjson.OPT_INDENT_2).decode() + "\n")


def weighed(folder: Path, posts: int, steps: int, batch: int) -> Iterator[Weight]:
    """Write posts into a new store in `folder`, and weigh it `steps` times, the last time at the end."""
    import psutil

    from connectors.store.stored_table import StoredTable

    process = psutil.Process(os.getpid())
    table = StoredTable(folder, posts_table(DIMENSION, DIMENSION))
    pool = made_rows(_POOL)
    start, looks = time.monotonic(), 1
    measured: list[tuple[float, int, int, float, float]] = []
    for at in range(0, posts, batch):
        until = min(posts, at + batch)
        table.upsert([{**pool[it % _POOL], "global_id": f"{it:08d}-reddit"} for it in range(at, until)])
        if until >= posts * looks / steps:
            looks += 1
            files, size = size_of(folder)
            measured.append((time.monotonic() - start, until, files, size / 1e6, process.memory_info().rss / 1e6))
    table.compact()
    data = size_of(folder)[1] / 1e6 / posts
    for seconds, until, files, mb, rss in measured:
        yield Weight(until, round(seconds, 1), files, round(mb, 1), round(data * until, 1), round(rss, 1))


def made_rows(count: int) -> list[Row]:
    """Rows as real models make them: vectors mixed of three of forty, captions of common words."""
    random = np.random.default_rng(7)
    templates = random.normal(size=(_TEMPLATES, DIMENSION)).astype(np.float32)
    names = [column.name for column in posts_table(DIMENSION, DIMENSION).columns]
    return [_row(names, templates, random, number) for number in range(count)]


def _row(names: list[str], templates: np.ndarray[Any, Any], random: np.random.Generator, number: int) -> Row:
    text = " ".join(random.choice(_WORDS, 12))
    told = {
        "author": f"author{number % 997}",
        "created_time": "2026-01-01T00:00:00+00:00",
        "description": text,
        "score": number,
        "revision": 1,
        "url": f"https://i.example.org/{number}.png",
        "source": "reddit",
        "joined_time": "2026-01-01T00:00:00.000+00:00",
        "cluster": number % 500,
        "text": text,
        "text_as_read": text,
        "embeddings": _mixed(templates, random),
        "text_embedding": _mixed(templates, random),
        "missing": [],
        "failures": [],
        "timings": {"fetch": 0.1},
        "models": {"embedding": StandInImage.name},
        "extra": {},
    }
    return {name: told.get(name) for name in names}


def _mixed(templates: np.ndarray[Any, Any], random: np.random.Generator) -> np.ndarray[Any, Any]:
    mixed = random.random(3).astype(np.float32) @ templates[random.integers(0, len(templates), 3)]
    unit: np.ndarray[Any, Any] = mixed / np.linalg.norm(mixed)
    return unit


def size_of(folder: Path) -> tuple[int, int]:
    """Files and bytes."""
    sizes = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
    return len(sizes), sum(sizes)
