"""Small corpora for tests, in vectors of the fake model."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lancedb
import orjson
import pyarrow as pa

from models.fake_models import FakeText
from search.corpus_layout import corpus_schema

MODEL = FakeText()


def corpus_rows(texts: Sequence[str], **brought: Any) -> pa.Table:
    """Rows whose ids are their texts; the fake tells texts apart by their length."""
    columns = {
        "id": texts,
        "text": texts,
        "source": ["web" if number % 2 else "phone" for number in range(len(texts))],
        "created": [datetime(2020, 1, 1 + number % 28, tzinfo=UTC) for number in range(len(texts))],
        "language": ["en"] * len(texts),
        "metadata": [orjson.dumps(brought).decode()] * len(texts),
        "text_hash": texts,
        "row_hash": texts,
        "vector": MODEL(texts),
    }
    return pa.Table.from_pydict(columns, schema=corpus_schema(MODEL.dimension, MODEL.name))


def make_corpus(store: Path, texts: Sequence[str], name: str = "tweets", **brought: Any) -> Any:
    """A corpus of `texts` in a store; its table."""
    return lancedb.connect(store).create_table(name, corpus_rows(texts, **brought))
