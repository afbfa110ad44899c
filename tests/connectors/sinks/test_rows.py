"""What goes out: rows, their JSON, and dead letters."""

from base64 import b64decode
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pytest

from connectors.sinks.record_table import failures_of
from connectors.sinks.rows import (
    HEADER_PREFIX,
    dead_letters_of,
    headers_of_dead_letter,
    json_of_dead_letter,
    json_of_row,
    row_of,
)
from connectors.store.posts_table import posts_schema
from core.records import Cluster, DeadLetter, Failure, Message, Reading, Record
from models.stages import stage_names
from tests.factories import LINE, message, post, record, sides

SIDES = stage_names()
NOW = "2026-11-22T10:00:00.000+00:00"
FIRST = [
    "global_id",
    "author",
    "created_time",
    "description",
    "score",
    "url",
    "source",
    "embeddings",
    "cluster",
    "text",
    "entities",
    "sentiments",
]
FETCH = Failure("fetch", "BadRecordError", "HTTP 404")
TEXT = Failure("text", "ValueError", "no")
LETTER = DeadLetter(
    Message(b"\xff\x00", "kafka:posts/0@17", b"\xfe", (("trace", b"\xfd"), ("empty", None))),
    "parse",
    "BadRecordError",
    "not JSON",
)


def row(of: Record) -> dict[str, Any]:
    return row_of(of, NOW)


# Rows


def test_the_twelve_columns_of_the_first_version_come_first() -> None:
    assert list(row(record()))[:12] == FIRST


def test_the_columns_of_a_row_are_those_of_the_store_but_for_what_changes_there() -> None:
    assert [*row(record()), "current_cluster"] == posts_schema(8, 8).names


def test_a_row_has_what_each_side_answered() -> None:
    made = row(record())
    assert made["cluster"] == 3
    assert made["cluster_distance"] == 0.25
    assert made["text"] == "hello paris. "
    assert made["text_as_read"] == "Hello Paris"
    assert made["lines"] == [{"text": "Hello Paris", "confidence": 0.75, "box": LINE.box}]
    assert made["entities"] == [{"text": "Paris", "label": "GPE", "start": 6, "end": 11}]
    assert made["sentiments"] == {"negative": 0.0, "neutral": 0.5, "positive": 0.5, "compound": 0.25}
    assert made["embeddings"].dtype == np.float32
    assert made["text_embedding"].dtype == np.float32
    assert (made["missing"], made["failures"]) == ([], [])


def test_a_row_has_what_the_post_said() -> None:
    posted = post(
        author="someone",
        created_time="yesterday",
        description="a caption",
        score=-3,
        source="reddit",
        ingestion_time=datetime(2026, 11, 22, tzinfo=UTC),
        extra={"colour": "blue"},
    )
    made = row(Record(posted, sides()))
    assert [made[name] for name in FIRST[:7]] == [
        "1-reddit", "someone", "yesterday", "a caption", -3, "1.png", "reddit",
    ]  # fmt: skip
    assert made["ingestion_time"] == "2026-11-22T00:00:00+00:00"
    assert made["joined_time"] == NOW
    assert made["extra"] == {"colour": "blue"}


def test_a_row_says_how_long_each_stage_took_and_with_which_model() -> None:
    made = row(record())
    assert made["timings"] == {"fetch": 0.5} | dict.fromkeys(SIDES, 0.125)
    assert made["models"] == {stage: f"a {stage} model" for stage in SIDES}


def test_an_image_without_text_has_an_empty_text() -> None:
    made = row(record(text=Reading()))
    assert (made["text"], made["text_as_read"], made["lines"]) == ("", "", [])


def test_a_text_without_entities_has_none_of_them() -> None:
    assert row(record(entities=()))["entities"] == []


@pytest.mark.parametrize(
    ("answers", "cluster"),
    [
        ({"cluster": Cluster(0, 0.0)}, 0),
        ({"embedding": None, "cluster": None}, -1),
        ({"embedding": FETCH, "cluster": FETCH}, -1),
        ({"cluster": Failure("cluster", "ValueError", "no")}, -2),
    ],
)
def test_clusters_below_nought_say_why_there_is_none(answers: dict[str, Any], cluster: int) -> None:
    made = row(record(**answers))
    assert made["cluster"] == cluster
    assert (made["cluster_distance"] is None) == (cluster < 0)


def test_what_failed_is_null_and_told_once() -> None:
    answers: dict[str, Any] = dict.fromkeys(SIDES, FETCH)
    made = row(record(**answers))
    assert [made[name] for name in ("embeddings", "text", "entities", "sentiments", "lines", "text_embedding")] == [
        None
    ] * 6
    assert made["failures"] == [{"stage": "fetch", "exception": "BadRecordError", "reason": "HTTP 404"}]


def test_what_is_missing_is_null_and_named() -> None:
    partial = Record(post(), {"cluster": sides()["cluster"]}, ("text", "embedding"))
    made = row(partial)
    assert made["missing"] == ["text", "embedding"]
    assert (made["text"], made["embeddings"], made["cluster"]) == (None, None, 3)


def test_failures_come_in_one_order() -> None:
    several = [Failure("text", "ValueError", "b"), Failure("text", "ValueError", "a"), FETCH]
    made = record(text=several[0], entities=several[1], embedding=several[2])
    assert failures_of(made) == [several[2], several[1], several[0]]


# JSON


def test_a_row_is_one_line_of_json() -> None:
    posted = post(description="two\nlines, \u2028 and an emoji \U0001f600", extra={"deep": [{"x": None}]})
    line = json_of_row(row(Record(posted, sides())))
    assert b"\n" not in line
    body = orjson.loads(line)
    assert body["embeddings"] == [1, 0, 0, 0, 0, 0, 0, 0]
    assert (body["description"], body["extra"]) == (posted.description, {"deep": [{"x": None}]})


def test_numbers_of_numpy_are_numbers_in_json() -> None:
    cluster: Any = Cluster(np.int64(3), np.float32(0.25))  # type: ignore[arg-type]
    body = orjson.loads(json_of_row(row(record(cluster=cluster))))
    assert (body["cluster"], body["cluster_distance"]) == (3, 0.25)


def test_a_vector_in_pieces_is_a_list_in_json() -> None:
    scattered = np.arange(16, dtype=np.float32)[::2]
    assert orjson.loads(json_of_row(row(record(embedding=scattered))))["embeddings"] == scattered.tolist()


def test_what_is_nothing_for_json_is_an_error_and_not_its_name() -> None:
    with pytest.raises(TypeError):
        json_of_row({"what": object()})


# Dead letters


def test_a_failure_becomes_a_dead_letter_with_the_message_of_the_post() -> None:
    made = record(embedding=FETCH, cluster=FETCH, text=TEXT)
    assert dead_letters_of(made) == [
        DeadLetter(made.post.message, "fetch", "BadRecordError", "HTTP 404", "1-reddit"),
        DeadLetter(made.post.message, "text", "ValueError", "no", "1-reddit"),
    ]


def test_a_record_without_failures_has_no_dead_letters() -> None:
    assert dead_letters_of(record()) == []


def test_a_late_record_does_not_tell_again_what_the_partial_one_told() -> None:
    late = replace(record(embedding=FETCH, cluster=FETCH, text=TEXT), late=("cluster", "sentiment"))
    assert dead_letters_of(late) == []


def test_a_late_record_tells_what_is_new() -> None:
    late = replace(record(embedding=FETCH, cluster=FETCH, text=TEXT), late=("text",))
    assert [letter.stage for letter in dead_letters_of(late)] == ["text"]


def test_a_dead_letter_in_json_has_every_byte_of_the_message() -> None:
    body = orjson.loads(json_of_dead_letter(LETTER))
    assert b64decode(body.pop("value")) == b"\xff\x00"
    assert b64decode(body.pop("key")) == b"\xfe"
    assert [(name, value and b64decode(value)) for name, value in body.pop("headers")] == [
        ("trace", b"\xfd"),
        ("empty", None),
    ]
    assert body == {
        "stage": "parse",
        "exception": "BadRecordError",
        "reason": "not JSON",
        "global_id": None,
        "origin": "kafka:posts/0@17",
    }


def test_a_dead_letter_without_a_key_has_none() -> None:
    letter = DeadLetter(message(b""), "parse", "BadRecordError", "no")
    assert orjson.loads(json_of_dead_letter(letter))["key"] is None


def test_the_headers_of_a_dead_letter_are_the_messages_own_and_what_went_wrong() -> None:
    headers = headers_of_dead_letter(replace(LETTER, global_id="1-reddit"))
    assert headers[:2] == LETTER.message.headers
    assert {name.removeprefix(HEADER_PREFIX): value for name, value in headers[2:]} == {
        "stage": b"parse",
        "exception": b"BadRecordError",
        "reason": b"not JSON",
        "origin": b"kafka:posts/0@17",
        "global_id": b"1-reddit",
    }


def test_a_dead_letter_of_no_post_has_no_id_in_its_headers() -> None:
    assert f"{HEADER_PREFIX}global_id" not in dict(headers_of_dead_letter(LETTER))


def test_a_reason_can_always_be_written() -> None:
    told = Failure.of("fetch", OSError(2, "No such file", "caf\udce9.png"))
    assert r"caf\udce9.png" in told.reason
    json_of_row(row(record(text=told)))
    json_of_dead_letter(dead_letters_of(record(text=told))[0])
    headers_of_dead_letter(dead_letters_of(record(text=told))[0])
