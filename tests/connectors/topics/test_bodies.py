"""What memewax reads and writes, held against the schemas that it publishes."""

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError

from connectors.sinks.cluster_events import json_of_event
from connectors.sinks.rows import HEADER_PREFIX, headers_of_dead_letter, json_of_dead_letter, json_of_row, row_of
from connectors.sources.parse import parse_post
from connectors.topics.bodies import schema
from core.errors import BadRecordError
from core.records import Cluster, ClusterEvent, DeadLetter, Failure, Message, Reading, Record
from models.stages import stage_names
from search.answer import Answer, json_of_answer, json_of_sentence_embedding
from search.corpus import Hit
from search.query import BadQueryError, parse_first_version, parse_query
from tests.factories import message, post, record, sides

FETCH = Failure("fetch", "BadRecordError", "HTTP 404")
NOTHING: dict[str, Any] = dict.fromkeys(stage_names(), FETCH)


def check(name: str, body: Any) -> None:
    Draft202012Validator(schema(name)).validate(body)


def refuses(name: str, body: Any) -> None:
    with pytest.raises(ValidationError):
        check(name, body)


# Records


def row(of: Record) -> dict[str, Any]:
    made: dict[str, Any] = orjson.loads(json_of_row(row_of(of, "2026-11-22T10:00:00.000+00:00")))
    return made


RECORDS = [
    record(),
    record(**NOTHING),
    record(text=Reading(), entities=(), text_embedding=None),
    record(cluster=Failure("cluster", "ValueError", "no")),
    record(cluster=Cluster(0, 0.0)),
    Record(post(), {"cluster": sides()["cluster"]}, ("text", "embedding")),
    Record(post(score=-3, ingestion_time=datetime(2026, 1, 1, tzinfo=UTC), extra={"deep": [{"x": None}]}), sides()),
]


@pytest.mark.parametrize("made", RECORDS)
def test_a_record_is_what_its_schema_says(made: Record) -> None:
    check("record", row(made))


def test_the_schema_of_a_record_tells_every_column() -> None:
    assert schema("record")["properties"].keys() == row(record()).keys() == set(schema("record")["required"])


@pytest.mark.parametrize(
    "change",
    [{"cluster": -3}, {"cluster": None}, {"embeddings": "[]"}, {"embeddings": []}, {"entities": [{}]}, {"score": "17"}],
    ids=str,
)
def test_what_is_no_record_is_refused(change: dict[str, Any]) -> None:
    refuses("record", {**row(record()), **change})


# Clusters


@pytest.mark.parametrize("event", [ClusterEvent("birth", 3), ClusterEvent("merge", 3, 1), ClusterEvent("retire", 0)])
def test_what_becomes_of_a_cluster_is_what_its_schema_says(event: ClusterEvent) -> None:
    check("cluster-event", orjson.loads(json_of_event(event)))


# Dead letters


LETTERS = [
    DeadLetter(Message(b"\xff\x00", "kafka:posts/0@17", b"\xfe", (("t", b"\xfd"), ("n", None))), "parse", "E", "no"),
    DeadLetter(Message(b"{}", "file:/posts.jsonl@0"), "fetch", "E", "HTTP 404", "1-reddit"),
]


@pytest.mark.parametrize("letter", LETTERS)
def test_a_dead_letter_is_what_its_schemas_say(letter: DeadLetter) -> None:
    check("dead-letter-line", orjson.loads(json_of_dead_letter(letter)))
    headers = headers_of_dead_letter(letter)[len(letter.message.headers) :]
    check("dead-letter-headers", {name: (value or b"").decode() for name, value in headers})
    assert {name for name, _ in headers} <= schema("dead-letter-headers")["properties"].keys()
    assert all(name.startswith(HEADER_PREFIX) for name, _ in headers)


# Posts


NUMBER = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(max_size=20)
POSTS = st.fixed_dictionaries(
    {"global_id": st.text(min_size=1, max_size=100), "url": st.text(min_size=1, max_size=50).filter(str.strip)},
    optional={
        "author": st.none() | TEXT | NUMBER,
        "created_time": st.none() | TEXT | NUMBER,
        "desc": st.none() | TEXT | NUMBER,
        "score": st.none() | st.integers(-(2**63), 2**63 - 1) | st.from_regex(r"\A *[+-]?[0-9]{1,18}(\.0*)? *\Z"),
        "source": st.none() | TEXT | NUMBER,
        "ingestion_time": st.none() | st.integers(0, 4 * 10**12) | st.just("2023-12-11T08:00:00Z"),
        "colour": st.none() | TEXT,
    },
)


@given(POSTS)
def test_what_the_schema_of_a_post_allows_is_read(body: dict[str, Any]) -> None:
    check("post", body)
    assert parse_post(message(body)).global_id == body["global_id"]


@pytest.mark.parametrize(
    "body",
    [{}, {"global_id": "1"}, {"url": "x"}, {"global_id": "", "url": "x"}, {"global_id": 1, "url": "x"},
     {"global_id": "1", "url": "x", "score": "many"}, {"global_id": "1", "url": "x", "score": 1.5},
     {"global_id": "1", "url": " \u00a0"}, {"global_id": "1", "url": "x", "desc": []}],
    ids=str,
)  # fmt: skip
def test_what_is_no_post_is_refused_by_both(body: dict[str, Any]) -> None:
    refuses("post", body)
    with pytest.raises(BadRecordError, match=r"missing|must be"):
        parse_post(message(body))


# Queries and answers


@pytest.mark.parametrize(
    "asked",
    [
        {"text": "hello"},
        {"text": "x", "k": 100, "corpus": "mine", "by": "text", "filters": {"source": "web", "after": "2020-01-01"}},
        {"image": b64encode(b"image").decode()},
        {"vector": [1, 0.5], "by": "image", "filters": {"before": 1600000000, "language": "en"}},
    ],
    ids=str,
)
def test_a_query_of_the_schema_is_read(asked: dict[str, Any]) -> None:
    body = {"id": "1", **asked}
    check("query", body)
    assert parse_query(message(body), "tweets").id == "1"


@pytest.mark.parametrize(
    "change", [{"text": " "}, {"k": 0}, {"k": 101}, {"vector": [1]}, {"colour": "red"}, {"filters": {"x": 1}}], ids=str
)
def test_what_is_no_query_is_refused_by_both(change: dict[str, Any]) -> None:
    body = {"id": "1", "text": "hello", **change}
    refuses("query", body)
    with pytest.raises(BadQueryError):
        parse_query(message(body), "tweets")


HIT = Hit("7", "a tweet", 0.5, 1.0, {"source": "web", "created": "2020-01-01T00:00:00Z", "favorites": 7})


@pytest.mark.parametrize(
    "answer",
    [
        Answer("1", "hello", "tweets", 1, "a model", (HIT,), timing={"embed": 0.01, "search": 0.001}),
        Answer("kafka:queries/0@7", error=Failure("parse", "BadQueryError", "id is missing")),
    ],
)
def test_an_answer_is_what_its_schema_says(answer: Answer) -> None:
    check("answer", orjson.loads(json_of_answer(answer)))


def test_the_first_version_s_bodies_are_what_their_schemas_say() -> None:
    sentence = {"sentence_to_encode": "hello"}
    check("sentence", sentence)
    assert parse_first_version(message(sentence), "tweets").text == "hello"
    embedded = json_of_sentence_embedding("hello", np.ones(3, np.float32))
    check("sentence-embedding", orjson.loads(embedded))
