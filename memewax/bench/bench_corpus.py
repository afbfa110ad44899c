"""Queries and synthetic rows for the benchmark of similarity search."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import lancedb
import numpy as np
import orjson
import pyarrow as pa
from numpy.random import Generator

from search.corpus_layout import corpus_schema
from search.corpus_store import open_table
from search.vector_index import FloatMatrix, unit

SYNTHETIC: Final = "synthetic"
_SEED: Final = 20_261_124
_BLOCK: Final = 50_000
_WORDS: Final = 15
_DROPPED: Final = 0.3
_NOISE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Rows:
    """Texts of a corpus, and their vectors of shape (rows, dimension)."""

    texts: list[str]
    vectors: FloatMatrix


def read_rows(store: Path, name: str) -> Rows:
    """Read all rows of a corpus; raises `WorldError` if it does not exist."""
    table = open_table(store, name).to_arrow(["text", "vector"])
    vectors = np.array(table.column("vector").combine_chunks().flatten(), np.float32)
    return Rows(table.column("text").to_pylist(), vectors.reshape(len(table), -1))


def questions(texts: list[str], count: int) -> list[str]:
    """Generate queries that are near the corpus but equal to none of its rows, about as long as people type them.

    Each is up to 15 successive words of a row, of which 30 percent are dropped and two are swapped.
    """
    noise = np.random.default_rng(_SEED)
    known = set(texts)
    asked: list[str] = []
    while len(asked) < count:
        row = texts[int(noise.integers(len(texts)))].split() or ["nothing"]
        start = int(noise.integers(max(1, len(row) - _WORDS + 1)))
        window = row[start : start + _WORDS]
        words = [word for word in window if noise.random() > _DROPPED] or window
        first, second = noise.integers(len(words), size=2)
        words[first], words[second] = words[second], words[first]
        asked.append(text if (text := " ".join(words).lower()) not in known else f"{text} {len(asked)}")
    return asked


def write_synthetic(store: Path, rows: Rows, count: int, model: str) -> None:
    """Write a corpus of synthetic rows: each interpolates two real ones, plus Gaussian noise of half its norm."""
    noise = np.random.default_rng(_SEED)
    schema = corpus_schema(rows.vectors.shape[1], model)
    blocks = (_synthetic(rows, range(at, min(at + _BLOCK, count)), noise, schema) for at in range(0, count, _BLOCK))
    lancedb.connect(store).create_table(SYNTHETIC, _batches(blocks), schema=schema)


def _batches(tables: Iterator[pa.Table]) -> Iterator[pa.RecordBatch]:
    for table in tables:
        yield from table.to_batches()


def _synthetic(rows: Rows, numbers: range, noise: Generator, schema: pa.Schema) -> pa.Table:
    size, dimension = len(numbers), rows.vectors.shape[1]
    first, second = noise.integers(len(rows.texts), size=(2, size))
    share = noise.random((size, 1), np.float32)
    between = unit(share * rows.vectors[first] + (1 - share) * rows.vectors[second])
    spread = noise.standard_normal((size, dimension), np.float32) * np.float32(_NOISE / np.sqrt(dimension))
    ids = [str(number) for number in numbers]
    columns: dict[str, Any] = {
        "id": ids,
        "text": [f"row {number}, near: {rows.texts[one]}" for number, one in zip(numbers, first, strict=True)],
        "metadata": [orjson.dumps({"favorite_count": number}).decode() for number in numbers],
        "text_hash": ids,
        "row_hash": ids,
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(unit(between + spread).ravel()), dimension),
    }
    columns |= {name: pa.nulls(size, schema.field(name).type) for name in ("source", "created", "language")}
    return pa.Table.from_pydict(columns, schema=schema)
