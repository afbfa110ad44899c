"""What a query may be, and what is wrong with one that is none; it has an id to answer to all the same."""

from base64 import b64encode
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.records import Message
from search.query import BadQueryError, Query, parse_first_version, parse_query
from search.row_cache import Filter


def message(value: bytes, key: bytes | None = None) -> Message:
    return Message(value, "kafka:queries/0@7", key)


def parse(**body: Any) -> Query:
    return parse_query(message(orjson.dumps(body)), "tweets")


def test_a_query_has_defaults() -> None:
    assert parse(id="1", text="hello") == Query("1", "hello", "tweets", 1, "text", None)


def test_a_query_can_say_everything() -> None:
    filters = {"source": "web", "after": "2020-01-01", "before": 1600000000, "language": "en"}
    made = parse(id="1", text="hello", corpus="mine", k=100, filters=filters)
    after, before = datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 9, 13, 12, 26, 40, tzinfo=UTC)
    assert made == Query("1", "hello", "mine", 100, "text", Filter("web", after, before, "en"))


def test_empty_filters_are_none() -> None:
    assert parse(id="1", text="hello", filters={"source": None}).filter is None


@pytest.mark.parametrize(
    "text", ['it\'s "quoted"', "100% _like_", "🙂👍🏽", "日本語 שלום العربية", "x" * 10_000, "[red]", "\x1b[31m"]
)
def test_any_text_is_a_question(text: str) -> None:
    assert parse(id="1", text=text).subject == text


def test_an_image_is_looked_for_among_posts() -> None:
    made = parse(id="1", image=b64encode(b"image").decode())
    assert (made.subject, made.corpus, made.by, made.text) == (b"image", "posts", "image", "")


@pytest.mark.parametrize("by", ["text", "image"])
def test_a_vector_is_made_a_unit_vector(by: str) -> None:
    made = parse(id="1", vector=[3, 4], by=by, corpus="posts")
    assert made.by == by
    np.testing.assert_allclose(np.asarray(made.subject, np.float32), [0.6, 0.8], atol=1e-7)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"id": "1"}, "give exactly one of text, image and vector; found none"),
        ({"id": "1", "text": "a", "vector": [1]}, "found text and vector"),
        ({"id": "1", "text": " \n"}, "text is empty"),
        ({"id": "1", "text": 5}, "text must be a string"),
        ({"id": "1", "text": "a", "k": 0}, "k must be an integer from 1 to 100"),
        ({"id": "1", "text": "a", "k": 101}, "k must be"),
        ({"id": "1", "text": "a", "k": True}, "k must be"),
        ({"id": "1", "text": "a", "k": 1.5}, "k must be"),
        ({"id": "1", "text": "a", "corpus": ["tweets"]}, "corpus must be a non-empty string"),
        ({"id": "1", "text": "a", "corpus": ""}, "corpus must be a non-empty string"),
        ({"id": "1", "text": "a", "by": "image"}, "by must be text for a text"),
        ({"id": "1", "text": "a", "by": ["text"]}, "by must be text for a text"),
        ({"id": "1", "text": "a", "langauge": "en"}, "unknown field 'langauge'"),
        ({"id": "1", "text": "a", "filters": []}, "filters must be an object"),
        ({"id": "1", "text": "a", "filters": {"sauce": "web"}}, "unknown filter 'sauce'"),
        ({"id": "1", "text": "a", "filters": {"source": 5}}, "filter source must be a string"),
        ({"id": "1", "text": "a", "filters": {"after": "soon"}}, "filter after must be a time"),
        ({"id": "1", "text": "a", "filters": {"after": [2020]}}, "filter after must be a time"),
        ({"id": "1", "image": "no base64!"}, "image must be an image's bytes in base64"),
        ({"id": "1", "image": 5}, "image must be"),
        ({"id": "1", "vector": "text"}, "vector must be an array of numbers"),
        ({"id": "1", "vector": [[1, 2]]}, "an array of numbers"),
        ({"id": "1", "vector": [0, 0]}, "not all of them 0"),
        ({"id": "1", "vector": []}, "not all of them 0"),
        ({"id": "1", "vector": [1e300]}, "finite numbers"),
    ],
)
def test_a_broken_query_keeps_its_id(body: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadQueryError, match=reason) as raised:
        parse(**body)
    assert raised.value.id == "1"


@pytest.mark.parametrize(
    ("value", "key", "id_"),
    [
        (b"no JSON", None, "kafka:queries/0@7"),
        (b"no JSON", b"mine", "mine"),
        (b"no JSON", b"\xff", "kafka:queries/0@7"),
        (b"[]", b"mine", "mine"),
        (b'{"text": "a"}', b"mine", "mine"),
        (b'{"id": "", "text": "a"}', b"mine", "mine"),
        (b'{"id": 17, "text": "a"}', b"mine", "17"),
        (b'{"id": ["x"], "text": "a"}', b"mine", "mine"),
        (b'{"id": "' + b"x" * 600 + b'", "text": "a"}', b"mine", "mine"),
        (b"x" * 2**21, None, "kafka:queries/0@7"),
    ],
)
def test_what_has_no_id_is_answered_by_its_key_or_origin(value: bytes, key: bytes | None, id_: str) -> None:
    with pytest.raises(BadQueryError) as raised:
        parse_query(message(value, key), "tweets")
    assert raised.value.id == id_


@given(
    st.one_of(
        st.binary(),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(),
            lambda it: (
                st.lists(it)
                | st.dictionaries(st.sampled_from(["id", "text", "vector", "filters", "k", "by", "image", "after"]), it)
            ),
        ).map(lambda it: orjson.dumps(it, default=str)),
    )
)
def test_nothing_but_a_query_or_its_error_comes_out(value: bytes) -> None:
    with suppress(BadQueryError):
        assert parse_query(message(value), "tweets").id


def test_the_first_version_s_body() -> None:
    body = orjson.dumps({"sentence_to_encode": "like % this"})
    assert parse_first_version(message(body, b"7"), "tweets") == Query("7", "like % this", "tweets")
    with pytest.raises(BadQueryError, match="sentence_to_encode is empty") as raised:
        parse_first_version(message(b'{"sentence_to_encode": ""}'), "tweets")
    assert raised.value.id == "kafka:queries/0@7"


def test_the_name_of_a_corpus_is_bounded_since_answers_repeat_it() -> None:
    body = orjson.dumps({"id": "1", "text": "a", "corpus": "c" * 999_800})
    with pytest.raises(BadQueryError, match="longer than 100 characters") as error:
        parse_query(Message(body, "here"), "posts")
    assert len(str(error.value)) < 200
