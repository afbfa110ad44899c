"""JSON with numbers that are none."""

from typing import Any

import orjson
import pytest

from core.json_text import json_of


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a": NaN, "b": [Infinity, -Infinity, 1]}', {"a": None, "b": [None, None, 1]}),
        (b'{"a": 1e400}', {"a": None}),
        (b'{"a": "NaN", "b": 1}', {"a": "NaN", "b": 1}),
        (b'{"a": NaN, "b": 123456789012345678901}', {"a": None, "b": 1.2345678901234568e20}),
    ],
)
def test_numbers_that_are_none_are_null(data: bytes, value: Any) -> None:
    assert json_of(data) == value


@pytest.mark.parametrize(
    "data", [b"NaN}", b'{"a": NaN', b'{"a": NaN, "b": "\\ud800"}', b'{"a": "\xff", "b": NaN}', b"[NaN," * 100_000]
)
def test_what_is_no_json_all_the_same_is_told(data: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        json_of(data)
