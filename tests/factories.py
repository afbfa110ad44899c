"""Makes records, rows, corpora and files of posts for tests, with what a test does not care about filled in."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
from PIL import Image

from connectors.sinks.record_table import posts_table
from connectors.sinks.rows import row_of
from connectors.sinks.sink import Row
from core.records import (
    Arrival,
    Cluster,
    Entity,
    Failure,
    Line,
    Message,
    Post,
    Reading,
    Record,
    Removal,
    Sentiment,
    StageResult,
    Vector,
)
from models.fake_models import FakeText
from models.stage import Stage
from models.stages import STAGES
from search.corpus_layout import corpus_schema

Value = Vector | Cluster | Reading | Sentiment | tuple[Entity, ...] | Failure | None

FIELDS: Final = "PIXELS_FIELDS"
GRID: Final = int(os.environ.get(FIELDS, "4"))
"""Fields on a side of an image that the model of `tests.flows.pixels_flow` sees."""
TEMPLATES: Final = 6
_SIDE: Final = 4 * GRID
_TEXT_MODEL: Final = FakeText()
POSTS: Final = posts_table(8, 8)
"""The table of posts in a store, for embeddings of `vector`."""


def message(body: Mapping[str, Any] | bytes, origin: str = "file:/posts.jsonl@0") -> Message:
    return Message(body if isinstance(body, bytes) else orjson.dumps(body), origin)


def post(global_id: str = "1-reddit", url: str = "1.png", **fields: Any) -> Post:
    return Post(global_id, url, message({"global_id": global_id, "url": url}), **fields)


def make_removal(**named: Any) -> Removal:
    return Removal(message({}), **named)


def arrival(global_id: str = "1-reddit", seconds: float = 0.5) -> Arrival:
    return Arrival(post(global_id), np.zeros((2, 3, 3), np.uint8), seconds)


def vector(*numbers: float) -> Vector:
    return np.array(numbers or (1, 0, 0, 0, 0, 0, 0, 0), np.float32)


LINE = Line("Hello Paris", 0.75, ((0.0, 0.0), (9.0, 0.0), (9.0, 5.0), (0.0, 5.0)))
_SOME: Mapping[str, Value] = {
    "embedding": vector(),
    "cluster": Cluster(3, 0.25),
    "text": Reading((LINE,)),
    "entities": (Entity("Paris", "GPE", 6, 11),),
    "sentiment": Sentiment(0.0, 0.5, 0.5, 0.25),
    "text_embedding": vector(),
}


def answer(stage: Stage) -> Any:
    """What this stage may answer: where nothing is said above, what its fake does."""
    if stage.name in _SOME or stage.model is None:
        return _SOME[stage.name]
    image = np.zeros((2, 3, 3), np.uint8)
    return stage.model.fake().one(image if stage.model.subject == "image" else "Hello Paris")


ANSWERS: Mapping[str, Any] = {stage.name: answer(stage) for stage in STAGES}
"""What each side may answer."""


def sides(global_id: str = "1-reddit", **answers: Value) -> dict[str, StageResult[Any]]:
    """All sides; `answers` are those that differ."""
    given = {**ANSWERS, **answers}
    return {stage: StageResult(global_id, stage, given[stage], 0.125, f"a {stage} model") for stage in ANSWERS}


def record(global_id: str = "1-reddit", **answers: Value) -> Record:
    return Record(post(global_id), sides(global_id, **answers), fetch_seconds=0.5)


def embedded_row(global_id: str, axis: int | None, text: str = "", now: str = "2026-01-01", **fields: Any) -> Row:
    """A post's row in a store whose text embedding is the unit vector of an axis; None: it has no embedding."""
    read = Reading((Line(text or global_id, 1.0, ((0.0, 0.0),) * 4),))
    embedding = None if axis is None else np.eye(8, dtype=np.float32)[axis]
    return row_of(Record(post(global_id, **fields), sides(global_id, text_embedding=embedding, text=read)), now)


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
        "vector": _TEXT_MODEL(texts),
    }
    return pa.Table.from_pydict(columns, schema=corpus_schema(_TEXT_MODEL.dimension, _TEXT_MODEL.name))


def make_corpus(store: Path, texts: Sequence[str], name: str = "tweets", **brought: Any) -> Any:
    """A corpus of `texts` in a store; its table."""
    import lancedb  # few tests need it, and it takes long to import

    return lancedb.connect(store).create_table(name, corpus_rows(texts, **brought))


@dataclass(slots=True)
class Posts:
    """A file of posts and what is true of it."""

    path: Path
    lines: list[bytes] = field(default_factory=list)
    """Messages in their order, each with its end."""
    template: dict[str, int] = field(default_factory=dict)
    """Of each post that has an image; its keys with those of `broken` are all ids, each to come out once."""
    broken: dict[str, bytes] = field(default_factory=dict)
    """Posts whose image is broken: their message."""
    garbage: list[bytes] = field(default_factory=list)
    """Messages that are no posts."""
    reposts: int = 0

    @property
    def ids(self) -> set[str]:
        return self.template.keys() | self.broken.keys()

    @property
    def valid(self) -> int:
        """Messages that are posts, reposts counted."""
        return len(self.ids) + self.reposts


def make_posts(folder: Path, count: int, seed: int = 7) -> Posts:
    """Make `count` posts, and about a fifth as many messages more: broken ones and posts that come again."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    templates = random.integers(0, 256, (TEMPLATES, GRID, GRID, 3))
    posts = Posts(folder / "posts.jsonl")
    for number in range(count):
        global_id, name = f"{number:05d}-reddit", f"{number:05d}.png"
        template = int(random.integers(TEMPLATES))
        line = _line(global_id, name, template)
        image = _image(templates[template], random)
        if number % 23 == 11:
            posts.broken[global_id] = line  # its file is missing
        elif number % 23 == 17:
            (folder / name).write_bytes(image[:60])
            posts.broken[global_id] = line
        else:
            (folder / name).write_bytes(image)
            posts.template[global_id] = template
        posts.lines.append(line)
        if number % 13 == 5:
            posts.lines.append(posts.lines[number // 2])  # seen before, or garbage once more
        if number % 19 == 3:
            posts.lines.append(b'{"global_id": %d, "broken"\n' % number)
    known = {bytes(line) for line in posts.broken.values()}
    seen: set[bytes] = set()
    for line in posts.lines:
        if line.startswith(b'{"global_id": '):
            posts.garbage.append(line.rstrip(b"\n"))
        elif line in seen:
            posts.reposts += 1
        seen.add(line)
    assert known <= seen
    posts.path.write_bytes(b"".join(posts.lines))
    return posts


def _line(global_id: str, url: str, template: int) -> bytes:
    post = {"global_id": global_id, "url": url, "desc": f"template {template}", "source": "reddit", "score": template}
    return orjson.dumps(post) + b"\n"


def _image(template: np.ndarray, random: np.random.Generator) -> bytes:
    pixels = template.repeat(_SIDE // GRID, 0).repeat(_SIDE // GRID, 1) + random.integers(-9, 10, (_SIDE, _SIDE, 3))
    file = BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "png", compress_level=1)
    return file.getvalue()


def image_of(template: int, random: np.random.Generator) -> bytes:
    """An image of a template of its own, with noise."""
    return _image(np.random.default_rng(template).integers(0, 256, (GRID, GRID, 3)), random)


def is_plain(value: Any) -> bool:
    """Whether a snapshot may hold the value: it consists of builtins, times and arrays."""
    if type(value) is dict:
        return all(map(is_plain, [*value.keys(), *value.values()]))
    if type(value) in {list, tuple}:
        return all(map(is_plain, value))
    return type(value) in {str, bytes, int, float, bool, type(None), datetime, np.ndarray}
