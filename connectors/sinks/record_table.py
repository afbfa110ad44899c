"""The table that records are rows of, whatever keeps it."""

from typing import Final

from core.columns import AnyJson, Column, Integer, ListOf, Number, Struct, Table, Text, VectorOf
from core.records import SIDES

POSTS: Final = "posts"
_TEXT, _NUMBER = Text(), Number()
_ENTITY: Final = Struct({"text": _TEXT, "label": _TEXT, "start": Integer(32), "end": Integer(32)})
_LINE: Final = Struct({"text": _TEXT, "confidence": _NUMBER, "box": ListOf(ListOf(_NUMBER))})
_FAILURE: Final = Struct({"stage": _TEXT, "exception": _TEXT, "reason": _TEXT})


def posts_table(image_dimension: int, text_dimension: int) -> Table:
    """The table of posts, with embeddings of these lengths."""
    return Table(
        POSTS,
        "global_id",
        (
            Column("global_id", _TEXT, "Key of the post."),
            Column("author", _TEXT, "Who posted it."),
            Column("created_time", _TEXT, "When it was posted."),
            Column("description", _TEXT, "Its caption."),
            Column("score", Integer(), "How well it is liked."),
            Column("url", _TEXT, "Where its picture is."),
            Column("source", _TEXT, "Where it was posted."),
            Column("embeddings", VectorOf(image_dimension), "What its picture looks like."),
            Column("cluster", Integer(), "The cluster that it fell into; -1 without an embedding, -2 after a failure."),
            Column("text", _TEXT, "What was read in its picture, in lower case."),
            Column("entities", ListOf(_ENTITY), "Names in its text."),
            Column(
                "sentiments", Struct(dict.fromkeys(("negative", "neutral", "positive", "compound"), _NUMBER)), "Mood."
            ),
            Column("ingestion_time", _TEXT, "When it was taken in."),
            Column("joined_time", _TEXT, "When the record was put together."),
            Column("cluster_distance", _NUMBER, "From the centre of its cluster."),
            Column("text_as_read", _TEXT, "What was read in its picture, a line each."),
            Column("lines", ListOf(_LINE), "Where in its picture that was read."),
            Column("text_embedding", VectorOf(text_dimension), "What its text means."),
            Column("missing", ListOf(_TEXT), "Stages that had not answered at the deadline."),
            Column("failures", ListOf(_FAILURE), "What failed."),
            Column("timings", Struct(dict.fromkeys(("fetch", *SIDES), _NUMBER)), "Seconds by stage."),
            Column("models", Struct(dict.fromkeys(SIDES, _TEXT)), "Models by stage."),
            Column("extra", AnyJson(), "Further fields of the post."),
            Column("duplicate_of", _TEXT, "The post whose picture it is a copy of."),
        ),
    )
