"""Synthetic rows like those of real models, and the disk size of a store of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from connectors.sinks.record_table import posts_table
from connectors.sinks.sink import Row
from models.fake_models import FakeImage

DIMENSION: Final = 384
"""Dimension of both embeddings."""
_TEMPLATES: Final = 40
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
class StoreSize:
    """Size of a store, and memory of the process that writes it, after a number of posts."""

    posts: int
    seconds: float
    files: int
    mb: float
    """Size of the store on disk, in MB."""
    data_mb: float
    """Size of its rows when compacted, in MB: the compacted final store, in proportion to the number of rows."""
    rss_mb: float
    """Resident memory of the process between two writes, in MB; it is higher during a compaction."""


def made_rows(count: int) -> list[Row]:
    """Return rows like those of real models: vectors mixed from 3 of 40 templates, captions of common words."""
    random = np.random.default_rng(7)
    templates = random.normal(size=(_TEMPLATES, DIMENSION)).astype(np.float32)
    names = [column.name for column in posts_table(DIMENSION, DIMENSION).columns]
    return [_row(names, templates, random, number) for number in range(count)]


def _row(names: list[str], templates: np.ndarray[Any, Any], random: np.random.Generator, number: int) -> Row:
    text = " ".join(random.choice(_WORDS, 12))
    values = {
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
        "models": {"embedding": FakeImage.name},
        "extra": {},
    }
    return {name: values.get(name) for name in names}


def _mixed(templates: np.ndarray[Any, Any], random: np.random.Generator) -> np.ndarray[Any, Any]:
    mixed = random.random(3).astype(np.float32) @ templates[random.integers(0, len(templates), 3)]
    unit: np.ndarray[Any, Any] = mixed / np.linalg.norm(mixed)
    return unit


def size_of(folder: Path) -> tuple[int, int]:
    """Count the files below a folder, and their bytes."""
    sizes = [file.stat().st_size for file in folder.rglob("*") if file.is_file()]
    return len(sizes), sum(sizes)
