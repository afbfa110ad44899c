"""The stages of a post. The join, rows, schemas, models and checks are all derived from these declarations.

To add a stage, write a model module, declare the stage in `STAGES`, add its settings to the bases of `StageSettings`,
and add a step to `dataflows.memes`.
"""

from functools import partial
from operator import attrgetter
from typing import Any, Final

from core.columns import Column, Integer, ListOf, Number, Struct, Text, VectorOf
from core.records import CLUSTER_FAILED, NO_EMBEDDING, Entity, Line, Reading, Sentiment
from models import fake_models, real_models, weights
from models.model_settings import (
    ClusterSettings,
    EntitySettings,
    ImageSettings,
    ModelSettings,
    OcrSettings,
    SentimentSettings,
    TextSettings,
)
from models.plain_text import plain_text
from models.stage import OF_MODEL, Stage, StageColumn, StageModel, Values

_TEXT, _NUMBER = Text(), Number()
_UNIT: Final = {"minimum": 0, "maximum": 1}
_VECTOR: Final = {"minItems": 1, "items": {"minimum": -1, "maximum": 1}}
_MOODS: Final = ("negative", "neutral", "positive")


def _identity(value: Any) -> Any:
    return value


def _no_cluster(known: Values) -> int:
    """Return the code of a missing cluster: the image had no embedding, or clustering failed."""
    return NO_EMBEDDING if known.get("embedding") is None else CLUSTER_FAILED


def _entities(found: tuple[Entity, ...]) -> list[dict[str, Any]]:
    return [{"text": it.text, "label": it.label, "start": it.start, "end": it.end} for it in found]


def _mood(it: Sentiment) -> dict[str, float]:
    return {"negative": it.negative, "neutral": it.neutral, "positive": it.positive, "compound": it.compound}


def _unread(reading: Reading) -> str | None:
    return reading.unread or None


def _clean(reading: Reading) -> str:
    return plain_text(line.text for line in reading.lines)


def _lines(reading: Reading) -> list[dict[str, Any]]:
    return [_line(line) for line in reading.lines]


def _line(line: Line) -> dict[str, Any]:
    return {"text": line.text, "confidence": line.confidence, "box": line.box}


EMBEDDING: Final = Stage(
    "embedding",
    (
        StageColumn(
            Column(
                "embeddings",
                VectorOf(OF_MODEL),
                "Embedding of the image, L2-normalised; null if there is none",
                schema=_VECTOR,
            ),
            _identity,
            in_first_version=True,
        ),
    ),
    StageModel(
        ImageSettings,
        "image",
        real_models.real_image,
        fake_models.FakeImage,
        evaluation="clusters",
        weights=lambda settings: (partial(weights.image_weights, settings),),
    ),
)

CLUSTER: Final = Stage(
    "cluster",
    (
        StageColumn(
            Column(
                "cluster",
                Integer(),
                "Id of the image's cluster; -1: the image has no embedding; -2: clustering failed",
                nullable=False,
                schema={"minimum": NO_EMBEDDING - 1},
            ),
            attrgetter("id"),
            _no_cluster,
            in_first_version=True,
        ),
        StageColumn(
            Column(
                "cluster_distance",
                _NUMBER,
                "Distance from the cluster: 0 for its first image, at most 2",
                schema={"minimum": 0},
            ),
            attrgetter("distance"),
        ),
        StageColumn(
            Column("duplicate_of", _TEXT, "`global_id` of the post whose image this one duplicates"),
            attrgetter("duplicate_of"),
        ),
    ),
    settings=ClusterSettings,
    evaluation="clusters",
)

TEXT: Final = Stage(
    "text",
    (
        StageColumn(
            Column(
                "text",
                _TEXT,
                "Lines of text in the image, lower-cased, each ending in `. `; empty if there is no text, null if OCR "
                "failed",
            ),
            attrgetter("text"),
            in_first_version=True,
        ),
        StageColumn(
            Column("text_as_read", _TEXT, "Lines of text in the image as OCR read them"), attrgetter("as_read")
        ),
        StageColumn(
            Column(
                "text_clean",
                _TEXT,
                "The same without text that platforms add: account names, times, counters, buttons, watermarks",
            ),
            _clean,
        ),
        StageColumn(
            Column(
                "text_unread",
                _TEXT,
                "Why some text in the image was not read; null if all was. OCR reads Latin letters of western Europe "
                "(English best), Chinese and Japanese, in part Latin letters with other diacritics, no other script",
            ),
            _unread,
        ),
        StageColumn(
            Column(
                "lines",
                ListOf(Struct({"text": _TEXT, "confidence": _NUMBER, "box": ListOf(ListOf(_NUMBER))})),
                "Lines of text with their positions; a box has its corners (x, y) in pixels, clockwise from the top "
                "left",
                schema={
                    "items": {
                        "properties": {
                            "confidence": _UNIT,
                            "box": {
                                "minItems": 4,
                                "maxItems": 4,
                                "description": "Corners (x, y) in pixels, clockwise from the top left",
                                "items": {"minItems": 2, "maxItems": 2},
                            },
                        }
                    }
                },
            ),
            _lines,
        ),
    ),
    StageModel(
        OcrSettings,
        "image",
        real_models.real_ocr,
        fake_models.FakeOcr,
        evaluation="ocr",
        weights=lambda settings: tuple(
            partial(weights.ocr_weights, settings, engine) for engine in weights.ocr_engines(settings)
        ),
    ),
)

ENTITIES: Final = Stage(
    "entities",
    (
        StageColumn(
            Column(
                "entities",
                ListOf(Struct({"text": _TEXT, "label": _TEXT, "start": Integer(32), "end": Integer(32)})),
                "Named entities, in the order of `text_as_read`",
                schema={
                    "items": {
                        "properties": {
                            "text": {"minLength": 1},
                            "label": {
                                "minLength": 1,
                                "description": "Label of the model, for example `PERSON` or `GPE`",
                            },
                            "start": {"minimum": 0, "description": "Offset of its first character in `text_as_read`"},
                            "end": {"minimum": 1, "description": "Offset after its last character"},
                        }
                    }
                },
            ),
            _entities,
            in_first_version=True,
        ),
    ),
    StageModel(
        EntitySettings,
        "text",
        real_models.real_entities,
        fake_models.FakeEntities,
        evaluation="entities",
        weights=lambda settings: (partial(weights.entity_weights, settings),),
    ),
)

SENTIMENT: Final = Stage(
    "sentiment",
    (
        StageColumn(
            Column(
                "sentiments",
                Struct(dict.fromkeys((*_MOODS, "compound"), _NUMBER)),
                "Sentiment of the text: shares that sum to 1, and a compound score from -1 to 1",
                schema={"properties": {**dict.fromkeys(_MOODS, _UNIT), "compound": {"minimum": -1, "maximum": 1}}},
            ),
            _mood,
            in_first_version=True,
        ),
    ),
    StageModel(
        SentimentSettings,
        "text",
        real_models.real_sentiment,
        fake_models.FakeSentiment,
        evaluation="sentiment",
        weights=lambda settings: (partial(weights.sentiment_weights, settings),),
    ),
)

TEXT_EMBEDDING: Final = Stage(
    "text_embedding",
    (
        StageColumn(
            Column(
                "text_embedding",
                VectorOf(OF_MODEL),
                "Embedding of caption and text, L2-normalised",
                schema=_VECTOR,
            ),
            _identity,
        ),
    ),
    StageModel(
        TextSettings,
        "text",
        real_models.real_text,
        fake_models.FakeText,
        evaluation="similarity",
        weights=lambda settings: (partial(weights.text_weights, settings),),
    ),
)

STAGES: Final = (EMBEDDING, CLUSTER, TEXT, ENTITIES, SENTIMENT, TEXT_EMBEDDING)
"""All stages, in the order of the diagram in `dataflows.memes`."""
MODEL_STAGES: Final = tuple(it for it in STAGES if it.model is not None)
"""The stages whose results a model computes."""


class StageSettings(ClusterSettings, ModelSettings):
    """The settings of all stages."""


def stage_names() -> tuple[str, ...]:
    """Return the names of the stages, in the order of the diagram."""
    return tuple(it.name for it in STAGES)


def evaluations() -> tuple[str, ...]:
    """Return the subcommands of `memewax eval` that measure stages, without duplicates."""
    named = [it.evaluation or (it.model.evaluation if it.model else "") for it in STAGES]
    return tuple(dict.fromkeys(name for name in named if name))


def stage(name: str) -> Stage:
    """Return the stage of this name; raises `StopIteration` if there is none."""
    return next(it for it in STAGES if it.name == name)
