"""Records for tests, with what a test does not care about filled in."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

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
    Sentiment,
    StageResult,
    Vector,
)
from models.stage import Stage
from models.stages import STAGES

Value = Vector | Cluster | Reading | Sentiment | tuple[Entity, ...] | Failure | None


def message(body: Mapping[str, Any] | bytes, origin: str = "file:/posts.jsonl@0") -> Message:
    return Message(body if isinstance(body, bytes) else orjson.dumps(body), origin)


def post(global_id: str = "1-reddit", url: str = "1.png", **fields: Any) -> Post:
    return Post(global_id, url, message({"global_id": global_id, "url": url}), **fields)


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
