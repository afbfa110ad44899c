"""From bytes to posts: what is good, and a reason for all that is not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sinks.rows import json_of_row, row_of
from connectors.sources import parse
from connectors.sources.parse import MAX_BYTES, MAX_DEPTH, MAX_ID_BYTES, parse_post
from core.errors import BadRecordError
from core.records import DeadLetter, Post, Record
from core.snapshot_values import from_builtins, to_builtins
from tests.factories import message

GOOD: dict[str, Any] = {
    "global_id": "18fr14v-reddit",
    "author": "someone",
    "created_time": "2023-12-11 08:00:00",
    "desc": "a caption",
    "score": 17,
    "url": "https://images.example/1.png",
    "source": "reddit",
    "ingestion_time": "2023-12-11T09:00:00+01:00",
}


def post_with(**fields: Any) -> Post:
    return parse_post(message({**GOOD, **fields}))


def raw(name: str, value: bytes) -> bytes:
    """A good post whose last field is `value` as it stands."""
    return orjson.dumps({key: it for key, it in GOOD.items() if key != name})[:-1] + b',"%b":%b}' % (
        name.encode(),
        value,
    )


def test_a_post_has_all_its_fields() -> None:
    post = post_with()
    assert post == Post(
        global_id="18fr14v-reddit",
        url="https://images.example/1.png",
        message=message(GOOD),
        author="someone",
        created_time="2023-12-11 08:00:00",
        description="a caption",
        score=17,
        source="reddit",
        ingestion_time=datetime(2023, 12, 11, 8, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("value", "edited"),
    [
        ("2026-01-02T03:04:05+00:00", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (1767323045, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (None, None),
        ("", None),
        (False, None),
        (True, None),
    ],
)
def test_the_time_of_an_edit_is_read_and_carried_along(value: Any, edited: datetime | None) -> None:
    post = post_with(edited=value)
    assert post.edited == edited
    assert post.extra == {"edited": value}


def test_only_id_and_url_are_needed() -> None:
    sent = message({"global_id": "1-reddit", "url": "1.png"})
    assert parse_post(sent) == Post("1-reddit", "1.png", sent)


def test_null_is_as_good_as_nothing() -> None:
    nothing = dict.fromkeys(GOOD.keys() - {"global_id", "url"})
    assert post_with(**nothing) == Post(GOOD["global_id"], GOOD["url"], message({**GOOD, **nothing}))


def test_unknown_fields_are_carried_along() -> None:
    assert post_with(colour="blue", nested={"list": [1, None]}).extra == {
        "colour": "blue",
        "nested": {"list": [1, None]},
    }


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "not JSON"),
        (b"\x89PNG\r\n\x1a\n", "not JSON"),
        (b"{", "not JSON"),
        (orjson.dumps(GOOD) + b"{}", "not JSON"),
        (b'{"global_id": "\xff"}', "UTF-8"),
        (b'{"global_id": "\xed\xa0\x80"}', "UTF-8"),
        (b"[]", "expected a JSON object, found an array"),
        (b'"post"', "expected a JSON object, found a string"),
        (b"null", "expected a JSON object, found null"),
        (b"7", "expected a JSON object, found a number"),
        (raw("desc", rb'"\ud800"'), "not JSON"),
        (raw("global_id", rb'"\udfff-reddit"'), "not JSON"),
        (raw("colour", rb'"\ud83d"'), "not JSON"),
        (b"[" * 5000 + b"]" * 5000, "not JSON"),
        (b" " * (MAX_BYTES + 1), f"message of {MAX_BYTES + 1} bytes"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_is_no_object_of_json_is_no_post(value: bytes, reason: str) -> None:
    with pytest.raises(BadRecordError, match=reason):
        parse_post(message(value))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"global_id": None}, "global_id is missing"),
        ({"global_id": ""}, "global_id is missing"),
        ({"global_id": 7}, "global_id must be a string, found a number"),
        ({"global_id": "é" * (MAX_ID_BYTES // 2 + 1)}, "global_id is longer"),
        ({"url": None}, "url is missing"),
        ({"url": ""}, "url is missing"),
        ({"url": ["1.png"]}, "url must be a string, found an array"),
        ({"author": {"name": "x"}}, "author must be a string, found an object"),
        ({"url": 7}, "url must be a string, found a number"),
        ({"source": True}, "source must be a string, found a boolean"),
        ({"desc": False}, "desc must be a string, found a boolean"),
        ({"score": True}, "score must be an integer, found a boolean"),
        ({"score": 1.5}, "score must be an integer, found a number"),
        ({"score": "many"}, "score must be an integer, found 'many'"),
        ({"score": "1.5"}, "score must be an integer, found '1.5'"),
        ({"score": "1_000"}, "score must be an integer, found '1_000'"),
        ({"score": "9" * 20}, "score does not fit 64 bits"),
        ({"score": 2**63}, "score does not fit 64 bits"),
        ({"ingestion_time": "yesterday"}, "ingestion_time is no time: 'yesterday'"),
        ({"ingestion_time": "9999-12-31T23:59:59-01:00"}, "ingestion_time is no time"),
        ({"ingestion_time": 1e300}, "ingestion_time is no time"),
        ({"ingestion_time": "9" * 30}, "ingestion_time is no time"),
        ({"ingestion_time": "Mon Dec 11 09:00:00 CET 2023"}, "ingestion_time is no time"),
        ({"ingestion_time": "Mon Foo 11 08:00:00 UTC 2023"}, "ingestion_time is no time"),
        ({"ingestion_time": -(2**63)}, "ingestion_time is no time"),
        ({"edited": "yesterday"}, "edited is no time: 'yesterday'"),
        ({"edited": []}, "edited must be a time, found an array"),
        ({"ingestion_time": True}, "ingestion_time must be a time, found a boolean"),
        ({"ingestion_time": [2023]}, "ingestion_time must be a time, found an array"),
    ],
    ids=str,
)
def test_the_field_that_is_wrong_is_named(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRecordError, match=reason):
        post_with(**fields)


def test_an_integer_too_large_for_json_is_no_score() -> None:
    with pytest.raises(BadRecordError, match="score"):
        parse_post(message(raw("score", b"9" * 40)))


@pytest.mark.parametrize("score", [0, -1, 2**63 - 1, -(2**63)])
def test_a_score_is_any_integer_of_64_bits(score: int) -> None:
    assert post_with(score=score).score == score


@pytest.mark.parametrize(
    "time",
    [
        "2023-12-11T08:00:00Z",
        "2023-12-11T09:00:00+01:00",
        "2023-12-11 08:00:00",
        "2023-12-11T08:00:00.000",
        "20231211T080000",
        1702281600,
        1702281600.0,
        1702281600000,
        1702281600000000,
        "1702281600",
        "1702281600.0",
        "1702281600000",
        " 1702281600000 ",
        "2023/12/11 08:00:00",
        "2023/12/11 08:00:00.000Z",
        "2023-12-11T08:00:00.000+0000",
        "2023-12-11T08:00:00.000000000Z",
        "Mon Dec 11 08:00:00 UTC 2023",
        "Mon Dec 11 08:00:00 GMT 2023",
    ],
)
def test_times_come_in_many_forms(time: Any) -> None:
    assert post_with(ingestion_time=time).ingestion_time == datetime(2023, 12, 11, 8, tzinfo=UTC)


@given(st.datetimes(datetime(1975, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - it takes them naive
def test_a_time_is_the_same_in_each_form_that_nifi_writes(time: datetime) -> None:
    time = time.replace(microsecond=time.microsecond // 1000 * 1000)
    millis = (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    written = [
        millis,
        str(millis),
        millis * 1000,
        time.isoformat(),
        time.strftime("%Y/%m/%d %H:%M:%S.%fZ"),
        time.strftime("%Y-%m-%dT%H:%M:%S.%f+0000"),
    ]
    assert {post_with(ingestion_time=it).ingestion_time for it in written} == {time}
    whole = time.replace(microsecond=0)
    assert post_with(ingestion_time=whole.strftime("%a %b %d %H:%M:%S UTC %Y")).ingestion_time == whole


@pytest.mark.parametrize(
    ("score", "number"),
    [
        ("17", 17),
        (" -3 ", -3),
        ("+4", 4),
        ("", 0),
        ("17.0", 17),
        ("17.", 17),
        (17.0, 17),
        (-0.0, 0),
        ("NaN", 0),
        ("1.2k", 1200),
        ("3M", 3_000_000),
    ],
)
def test_a_score_may_come_as_nifi_wrote_it(score: Any, number: int) -> None:
    assert post_with(score=score).score == number


def test_a_number_that_is_none_is_none() -> None:
    assert parse_post(message(raw("score", b"NaN"))).score == 0


def test_blanks_around_a_url_are_no_part_of_it() -> None:
    assert post_with(url=" https://a/b.png\n").url == "https://a/b.png"


@pytest.mark.parametrize("name", ["author", "created_time", "desc", "source"])
@pytest.mark.parametrize(
    ("value", "text"), [(1702281600, "1702281600"), (1702281600.0, "1702281600"), (0.5, "0.5"), (1e300, "1e+300")]
)
def test_a_text_that_became_a_number_is_a_text_again(name: str, value: float, text: str) -> None:
    field = "description" if name == "desc" else name
    assert getattr(post_with(**{name: value}), field) == text


@given(
    st.dictionaries(st.sampled_from(["author", "created_time", "desc", "source"]), st.text(max_size=20)),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(10**9, 4 * 10**12),
)
def test_a_post_all_of_strings_is_the_same_post(texts: dict[str, str], score: int, time: int) -> None:
    """As AttributesToJSON writes it."""
    typed = post_with(**texts, score=score, ingestion_time=time)
    strings = post_with(**texts, score=str(score), ingestion_time=str(time))
    assert replace(typed, message=strings.message) == strings


def test_what_is_no_post_is_a_dead_letter_with_its_bytes() -> None:
    bad = message(b"{}")
    assert parse.parsed(bad) == DeadLetter(bad, "parse", "BadRecordError", "global_id is missing")
    good = message(orjson.dumps(GOOD))
    assert parse.parsed(good) == parse_post(good)


def test_no_time_is_no_error() -> None:
    assert post_with(ingestion_time="").ingestion_time is None


def test_the_largest_message_is_read() -> None:
    filled = orjson.dumps(GOOD).replace(b"a caption", b"x" * (MAX_BYTES - len(orjson.dumps(GOOD)) + 9))
    assert len(filled) == MAX_BYTES
    assert parse_post(message(filled)).description.startswith("xxx")


def nested(depth: int) -> bytes:
    return raw("colour", b'{"a":[' * (depth // 2) + b"]}" * (depth // 2))


def test_what_nests_too_deeply_is_no_post() -> None:
    with pytest.raises(BadRecordError, match=f"colour is nested more than {MAX_DEPTH} deep"):
        parse_post(message(nested(MAX_DEPTH + 2)))


def test_the_deepest_post_can_go_all_the_way() -> None:
    check_goes_through(parse_post(message(nested(MAX_DEPTH))))


def check_goes_through(post: Post) -> None:
    """What is done with a post later must not meet a surprise."""
    json_of_row(row_of(Record(post, {}), "now"))
    assert from_builtins(to_builtins(post)) == post
    for text in (post.global_id, post.url, post.description):
        text.encode()


@given(st.binary(max_size=200))
def test_any_bytes_are_a_post_or_a_bad_record(value: bytes) -> None:
    with pytest.raises(BadRecordError, match=r"."):
        parse_post(message(value))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*GOOD, "colour", "~record"]), ANYTHING))
def test_any_object_is_a_post_that_goes_all_the_way_or_a_bad_record(fields: dict[str, Any]) -> None:
    try:
        post = parse_post(message({**GOOD, **fields}))
    except BadRecordError:
        return
    check_goes_through(post)
