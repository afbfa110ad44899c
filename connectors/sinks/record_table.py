"""The table of records, independent of its storage: columns of the post, of the stages and of the join."""

from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, replace
from operator import attrgetter
from typing import Any, Final

from core.columns import AnyJson, Binary, Column, Integer, ListOf, Number, Struct, Table, Text, VectorOf
from core.records import Failure, Record
from models.stage import Stage, StageColumn
from models.stages import MODEL_STAGES, STAGES

POSTS: Final = "posts"
HIDDEN: Final = "hidden"
"""Table of posts whose authors hide them, kept until they are shown again."""
SEARCHED: Final = ("text_clean", "description")
"""Columns with a full-text index: the text read in the image, and the caption."""
_TEXT, _NUMBER = Text(), Number()
_OF_IMAGES: Final = [it.name for it in MODEL_STAGES if it.model is not None and it.model.subject == "image"]
_BY_STAGE: Final = {"properties": None, "required": None}
"""JSON Schema keywords to drop: a struct of all stages is in JSON a mapping with only those that have a result."""


@dataclass(frozen=True, slots=True)
class RecordColumn:
    """A column that belongs to no stage, and how to compute it from a record."""

    column: Column
    of: Callable[[Record], Any]


def _text(name: str, meaning: str = "", **schema: Any) -> Column:
    return Column(name, _TEXT, meaning, nullable=False, schema=schema)


POST_COLUMNS: Final = (
    RecordColumn(
        _text(
            "global_id",
            "`<id at the source>-<source>`, such as `18fr14v-reddit`; the primary key",
            minLength=1,
            maxLength=512,
        ),
        attrgetter("post.global_id"),
    ),
    RecordColumn(_text("author", "The account that posted it"), attrgetter("post.author")),
    RecordColumn(_text("created_time", "When it was posted, as given by the source"), attrgetter("post.created_time")),
    RecordColumn(_text("description", "The caption, the post's `desc`"), attrgetter("post.description")),
    RecordColumn(Column("score", Integer(), "Likes, votes or the like", nullable=False), attrgetter("post.score")),
    RecordColumn(_text("url", "URL of the image", minLength=1), attrgetter("post.url")),
    RecordColumn(_text("source", "Where it was posted, such as `reddit`"), attrgetter("post.source")),
)
"""Columns of the post, as in version 1."""


def _ingestion_time(record: Record) -> str | None:
    time = record.post.ingestion_time
    return None if time is None else time.isoformat()


def failures_of(record: Record) -> list[Failure]:
    """Return the failures by stage, deduplicated, since stage results may pass on the same one."""
    failures = [value for result in record.results.values() if type(value := result.value) is Failure]
    return sorted(set(failures), key=astuple) if failures else []


def _failure(failure: Failure) -> dict[str, str]:
    return {"stage": failure.stage, "exception": failure.exception, "reason": failure.reason}


def _timings(record: Record) -> dict[str, float]:
    timings = {stage: result.seconds for stage, result in record.results.items()}
    timings["fetch"] = record.fetch_seconds
    return timings


def _cached(record: Record) -> str | None:
    kinds = [result.cached for stage in _OF_IMAGES if (result := record.results.get(stage)) is not None]
    return kinds[0] if kinds and all(kinds) else None


def _models(record: Record) -> dict[str, str]:
    return {stage: result.model for stage, result in record.results.items() if result.model}


INGESTION_COLUMN: Final = RecordColumn(
    Column("ingestion_time", _TEXT, "When `memewax ingest` first saw the post (UTC)", schema={"format": "date-time"}),
    _ingestion_time,
)
POST_ID_COLUMN: Final = RecordColumn(
    Column(
        "post_id",
        _TEXT,
        "Id of the whole post, which may have several images with a record each; else the same as `global_id`",
    ),
    attrgetter("post.whole_id"),
)
IMAGE_COLUMN: Final = RecordColumn(
    Column(
        "picture_sha256",
        _TEXT,
        "SHA-256 of the fetched image file, in hexadecimal; null without one. In a store the key of its thumbnail",
        schema={"pattern": "^[0-9a-f]{64}$"},
    ),
    lambda record: record.post.picture_sha256 or None,
)
THUMBNAILS: Final = Table(
    "thumbnails",
    "picture_sha256",
    (
        Column("picture_sha256", Text(), "SHA-256 of the fetched image file, in hexadecimal"),
        Column("webp", Binary(), "The thumbnail, as WebP"),
        Column("width", Integer(32), "Width in pixels of the image that OCR read; boxes of text lines refer to it"),
        Column("height", Integer(32), "Height in pixels of that image"),
    ),
)
"""Only in a store; a row is deleted when no post refers to it."""
JOINED_COLUMN: Final = _text("joined_time", "When the record was joined (UTC)", format="date-time")
"""The writer sets it from its clock."""


def join_columns(stages: tuple[Stage, ...]) -> tuple[RecordColumn, ...]:
    """Return the columns that the join adds about the stages, and the post's other fields."""
    names = [it.name for it in stages]
    failure = Struct(dict.fromkeys(("stage", "exception", "reason"), _TEXT))
    return (
        POST_ID_COLUMN,
        IMAGE_COLUMN,
        RecordColumn(
            Column(
                "revision",
                Integer(32),
                "Number of the record, from 1; a late stage result, a successful retry or an edit writes the "
                "next one; the highest one is current",
                nullable=False,
                schema={"minimum": 1},
            ),
            attrgetter("revision"),
        ),
        RecordColumn(
            Column(
                "cache",
                _TEXT,
                "Which image the cached results are from: exact, one with the same bytes; source, one to which the "
                "service gives the same id; near, one that this image copies; null: the models ran on this image",
                schema={"enum": ["exact", "source", "near", None]},
            ),
            _cached,
        ),
        RecordColumn(
            Column("missing", ListOf(_TEXT), "Stages that had no result at the deadline", nullable=False),
            lambda record: list(record.missing),
        ),
        RecordColumn(
            Column("failures", ListOf(failure), "Failures of stages, each once", nullable=False),
            lambda record: [_failure(it) for it in failures_of(record)],
        ),
        RecordColumn(
            Column(
                "timings",
                Struct(dict.fromkeys(("fetch", *names), _NUMBER)),
                "Seconds spent in each stage",
                nullable=False,
                schema={**_BY_STAGE, "additionalProperties": {"type": "number", "minimum": 0}},
            ),
            _timings,
        ),
        RecordColumn(
            Column(
                "models",
                Struct(dict.fromkeys(names, _TEXT)),
                "The model of each stage: its name, the hashes of its weights and preprocessing, and in "
                "brackets the engine and precision if several could run it",
                nullable=False,
                schema={**_BY_STAGE, "additionalProperties": {"type": "string"}},
            ),
            _models,
        ),
        RecordColumn(
            Column(
                "extra",
                AnyJson(),
                "Fields of the post that memewax does not know",
                nullable=False,
                schema={"type": "object"},
            ),
            lambda record: dict(record.post.extra),
        ),
    )


def stage_columns(stages: tuple[Stage, ...], *, first: bool) -> list[tuple[Stage, StageColumn]]:
    """Return the columns of the stages, either those of version 1 or the others."""
    return [(stage, it) for stage in stages for it in stage.columns if it.in_first_version == first]


CURRENT_COLUMN: Final = Column(
    "current_cluster",
    Integer(),
    "Only in a store: the post's current cluster. `cluster` is the one it was assigned to on arrival",
)
"""Merges and splits change it. Lines and messages are immutable, so they do not have it."""


LOOKED_UP: Final = ("post_id", "author", "duplicate_of")
"""Columns with an index: deletes name posts by these, and `duplicate_of` may name a deleted post."""


def posts_table(image_dimension: int, text_dimension: int) -> Table:
    """Return the table of posts in a store, with the given embedding dimensions."""
    return stored_posts({"embedding": image_dimension, "text_embedding": text_dimension})


def stored_posts(dimensions: Mapping[str, int], stages: tuple[Stage, ...] = STAGES) -> Table:
    """Return the table of posts in a store: records, and the current cluster of each."""
    table = record_table(dimensions, stages)
    return replace(table, columns=(*table.columns, CURRENT_COLUMN), looked_up=LOOKED_UP)


def record_table(dimensions: Mapping[str, int], stages: tuple[Stage, ...] = STAGES) -> Table:
    """Return the table of records; `dimensions` are the embedding dimensions by stage."""
    columns = [
        *(it.column for it in POST_COLUMNS),
        *(_sized(stage, it, dimensions) for stage, it in stage_columns(stages, first=True)),
        INGESTION_COLUMN.column,
        JOINED_COLUMN,
        *(_sized(stage, it, dimensions) for stage, it in stage_columns(stages, first=False)),
        *(it.column for it in join_columns(stages)),
    ]
    return Table(POSTS, "global_id", tuple(columns), newest="revision")


def _sized(stage: Stage, it: StageColumn, dimensions: Mapping[str, int]) -> Column:
    if isinstance(it.column.type, VectorOf):
        return replace(it.column, type=VectorOf(dimensions.get(stage.name, 0)))
    return it.column
