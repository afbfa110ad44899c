"""Records as plain values and back."""

import pickle
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.records import Arrival, DeadLetter, Failure, Line, Message, Post, Reading, Record, StageResult
from core.snapshot_values import from_builtins, to_builtins
from tests.factories import ANSWERS, is_plain, message, post, record, sides, vector

FULL = Post(
    "1-reddit",
    "1.png",
    Message(b"\xff", "file:/a@0", b"key", (("name", None), ("other", b"\x00"))),
    score=-3,
    ingestion_time=datetime(2026, 11, 22, tzinfo=UTC),
    extra={"nested": {"list": [1, 2.5, None, "x"]}},
)
RECORDS: list[Any] = [
    FULL,
    Failure("text", "ValueError", "no"),
    Reading(),
    Arrival(FULL, Failure("fetch", "OSError", "no")),
    DeadLetter(FULL.message, "parse", "BadRecordError", "no"),
    StageResult("1-reddit", "text", None),
    *ANSWERS.values(),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["~record", "~items", "a", "b"]) | st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


def test_a_record_of_records_comes_back_equal() -> None:
    original = record()
    restored: Record = from_builtins(to_builtins(original))
    assert restored.post == original.post
    assert restored.results.keys() == original.results.keys()
    for stage, side in original.results.items():
        np.testing.assert_equal(restored.results[stage].value, side.value)


@pytest.mark.parametrize("value", RECORDS, ids=lambda value: type(value).__name__)
def test_every_kind_of_record_comes_back_equal(value: Any) -> None:
    np.testing.assert_equal(from_builtins(pickle.loads(pickle.dumps(to_builtins(value)))), value)


def test_nothing_of_ours_is_left_in_what_is_plain() -> None:
    assert is_plain(to_builtins({"sides": sides(), "post": FULL, "more": [RECORDS, (record(),)]}))


def test_arrays_stay_as_they_are() -> None:
    original = vector(0.25, 0.5)
    restored = from_builtins(to_builtins(StageResult("1-reddit", "embedding", original))).value
    assert restored.dtype == np.float32
    np.testing.assert_array_equal(restored, original)


def test_a_field_that_is_not_known_any_more_is_dropped() -> None:
    plain = to_builtins(Failure("text", "ValueError", "no"))
    assert from_builtins(plain | {"colour": "blue"}) == Failure("text", "ValueError", "no")


def test_a_field_that_is_new_gets_its_default() -> None:
    plain = to_builtins(post(score=5))
    new = {field.name for field in fields(Post)} - {"global_id", "url", "message"}
    assert from_builtins({name: value for name, value in plain.items() if name not in new}) == post()


def test_tuples_stay_tuples_and_lists_lists() -> None:
    line = Line("a", 1.0, ((0.0, 1.0), (2.0, 3.0)))
    assert from_builtins(to_builtins([line, (line,)])) == [line, (line,)]


@given(JSON)
def test_fields_of_a_stranger_are_never_taken_for_records(extra: Any) -> None:
    original = Post("1-reddit", "1.png", message(b""), extra={"it": extra})
    assert from_builtins(to_builtins(original)) == original
    assert from_builtins(to_builtins(extra)) == extra
