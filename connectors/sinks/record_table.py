"""The table that records are rows of, whatever keeps it: columns of the post, of the stages and of the join."""

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
"""Rows of posts that their authors hide, kept aside until they are shown again."""
SEARCHED: Final = ("text_clean", "description")
"""Columns of posts whose words are looked for: what was read in the image, and the caption."""
_TEXT, _NUMBER = Text(), Number()
_OF_IMAGES: Final = [it.name for it in MODEL_STAGES if it.model is not None and it.model.subject == "image"]
_BY_STAGE: Final = {"properties": None, "required": None}
"""A struct of the stages is a mapping in JSON: a record tells of those that answered."""


@dataclass(frozen=True, slots=True)
class RecordColumn:
    """A column that belongs to no stage, and how a record becomes it."""

    column: Column
    of: Callable[[Record], Any]


def _text(name: str, meaning: str = "", **schema: Any) -> Column:
    return Column(name, _TEXT, meaning, nullable=False, schema=schema)


POST_COLUMNS: Final = (
    RecordColumn(
        _text(
            "global_id",
            "`<id at the source>-<source>`, for instance `18fr14v-reddit`; the key of everything",
            minLength=1,
            maxLength=512,
        ),
        attrgetter("post.global_id"),
    ),
    RecordColumn(_text("author", "Who posted it"), attrgetter("post.author")),
    RecordColumn(_text("created_time", "When it was posted, as the source says"), attrgetter("post.created_time")),
    RecordColumn(_text("description", "The post's `desc`"), attrgetter("post.description")),
    RecordColumn(Column("score", Integer(), "How well it is liked", nullable=False), attrgetter("post.score")),
    RecordColumn(_text("url", "Where its image is", minLength=1), attrgetter("post.url")),
    RecordColumn(_text("source", "Where it was posted"), attrgetter("post.source")),
)
"""What the post says, as in the first version."""


def _ingestion_time(record: Record) -> str | None:
    time = record.post.ingestion_time
    return None if time is None else time.isoformat()


def failures_of(record: Record) -> list[Failure]:
    """What failed, each failure once though several sides may pass it on, by stage."""
    failures = [value for side in record.sides.values() if type(value := side.value) is Failure]
    return sorted(set(failures), key=astuple) if failures else []


def _failure(failure: Failure) -> dict[str, str]:
    return {"stage": failure.stage, "exception": failure.exception, "reason": failure.reason}


def _timings(record: Record) -> dict[str, float]:
    timings = {stage: side.seconds for stage, side in record.sides.items()}
    timings["fetch"] = record.fetch_seconds
    return timings


def _cached(record: Record) -> str | None:
    kinds = [side.cached for stage in _OF_IMAGES if (side := record.sides.get(stage)) is not None]
    return kinds[0] if kinds and all(kinds) else None


def _models(record: Record) -> dict[str, str]:
    return {stage: side.model for stage, side in record.sides.items() if side.model}


INGESTION_COLUMN: Final = RecordColumn(
    Column("ingestion_time", _TEXT, "When ingest saw the post (UTC)", schema={"format": "date-time"}), _ingestion_time
)
POST_ID_COLUMN: Final = RecordColumn(
    Column(
        "post_id",
        _TEXT,
        "The post as a whole, of which this may be one of several images; else the same as `global_id`",
    ),
    attrgetter("post.whole_id"),
)
IMAGE_COLUMN: Final = RecordColumn(
    Column(
        "picture_sha256",
        _TEXT,
        "SHA-256 of the file that the image was fetched as, in hexadecimal; null where there is none. In a store the "
        "key of its thumbnail",
        schema={"pattern": "^[0-9a-f]{64}$"},
    ),
    lambda record: record.post.picture_sha256 or None,
)
THUMBNAILS: Final = Table(
    "thumbnails",
    "picture_sha256",
    (
        Column("picture_sha256", Text(), "SHA-256 of the file that the image was fetched as, in hexadecimal"),
        Column("webp", Binary(), "The image made small, as WebP"),
        Column("width", Integer(32), "Pixels of the image as it was read: boxes of lines are within these"),
        Column("height", Integer(32), "The same"),
    ),
)
"""In a store only: a row goes when no post refers to it."""
JOINED_COLUMN: Final = _text("joined_time", "When the record was put together (UTC)", format="date-time")
"""Its value is the writer's clock."""


def join_columns(stages: tuple[Stage, ...]) -> tuple[RecordColumn, ...]:
    """What the join says of the stages, and the post's other fields."""
    names = [it.name for it in stages]
    failure = Struct(dict.fromkeys(("stage", "exception", "reason"), _TEXT))
    return (
        POST_ID_COLUMN,
        IMAGE_COLUMN,
        RecordColumn(
            Column(
                "revision",
                Integer(32),
                "1, and one more each time that the post goes out again: with a late side, after a try that "
                "succeeded, or edited; the highest counts",
                nullable=False,
                schema={"minimum": 1},
            ),
            attrgetter("revision"),
        ),
        RecordColumn(
            Column(
                "cache",
                _TEXT,
                "How what the models say of the image was known before: exact, from an image of the same bytes; "
                "source, from one that its service calls the same; near, from one that it is a copy of; null: they "
                "looked at it",
                schema={"enum": ["exact", "source", "near", None]},
            ),
            _cached,
        ),
        RecordColumn(
            Column("missing", ListOf(_TEXT), "Sides that did not answer in time", nullable=False),
            lambda record: list(record.missing),
        ),
        RecordColumn(
            Column("failures", ListOf(failure), "What failed, each failure once", nullable=False),
            lambda record: [_failure(it) for it in failures_of(record)],
        ),
        RecordColumn(
            Column(
                "timings",
                Struct(dict.fromkeys(("fetch", *names), _NUMBER)),
                "Seconds by stage",
                nullable=False,
                schema={**_BY_STAGE, "additionalProperties": {"type": "number", "minimum": 0}},
            ),
            _timings,
        ),
        RecordColumn(
            Column(
                "models",
                Struct(dict.fromkeys(names, _TEXT)),
                "The model of each stage: its name, the hash of its weights and of how inputs are prepared, and in "
                "brackets the engine and precision where several could compute it",
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
    """Columns of stages, those that the first version had or the others."""
    return [(stage, it) for stage in stages for it in stage.columns if it.in_first_version == first]


CURRENT_COLUMN: Final = Column(
    "current_cluster",
    Integer(),
    "In a store only: the cluster that the post is in as of now. `cluster` is the one that it got on arrival",
)
"""What a merge or a split changes. A line or a message stays as it was written, so that neither has it."""


LOOKED_UP: Final = ("post_id", "author", "duplicate_of")
"""What deletes name, and what names posts that went: in a large table they are found by an index."""


def posts_table(image_dimension: int, text_dimension: int) -> Table:
    """The table of posts in a store, with embeddings of these lengths."""
    return stored_posts({"embedding": image_dimension, "text_embedding": text_dimension})


def stored_posts(dimensions: Mapping[str, int], stages: tuple[Stage, ...] = STAGES) -> Table:
    """The table of posts in a store: records, and the cluster that each is in as of now."""
    table = record_table(dimensions, stages)
    return replace(table, columns=(*table.columns, CURRENT_COLUMN), looked_up=LOOKED_UP)


def record_table(dimensions: Mapping[str, int], stages: tuple[Stage, ...] = STAGES) -> Table:
    """What a record consists of; `dimensions` are the lengths of vectors by stage."""
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
