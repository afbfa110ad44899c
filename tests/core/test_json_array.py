"""Arrays are split by their brackets, in any chunks, whatever their elements are."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.json_array import ArraySplitter, BadArrayError, elements

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text('ab"\\[]{},:é\n', max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('k"\\,]', max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(st.lists(VALUES, max_size=5), st.integers(1, 9), st.sampled_from([None, 1]), st.booleans())
def test_any_array_in_any_chunks(values: list[Any], size: int, indent: int | None, ascii_only: bool) -> None:
    data = json.dumps(values, indent=indent, ensure_ascii=ascii_only).encode()
    splitter = ArraySplitter(len(data))
    found = [it for at in range(0, len(data), size) for it in splitter.feed(data[at : at + size])]
    splitter.end()
    assert [json.loads(it.data) for it in found] == values
    assert [it.data for it in found] == elements(data)


def test_one_that_is_bad_or_deep_spoils_no_other() -> None:
    deep = b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}"
    assert elements(b' [{"a": 1}, nonsense, ' + deep + b",, 7]\n") == [b'{"a": 1}', b"nonsense", deep, b"", b"7"]


@pytest.mark.parametrize("value", [b"", b"{}", b"[1", b"[1] 2", b'["', b"[1]]", b"nonsense", b"[[]", b"[}"])
def test_what_is_no_array(value: bytes) -> None:
    with pytest.raises(BadArrayError):
        elements(value)


@pytest.mark.parametrize("chunk", [7, 1000, 10**6])
def test_of_what_is_too_long_only_the_beginning_is_held(chunk: int) -> None:
    data = orjson.dumps([{"a": 1}, {"b": "x" * 50_000}, {"c": 2}])
    splitter = ArraySplitter(100)
    found = [it for at in range(0, len(data), chunk) for it in splitter.feed(data[at : at + chunk])]
    assert [it.size for it in found] == [7, 50_008, 7]
    assert [it.data for it in found if it.size < 100] == [b'{"a":1}', b'{"c":2}']
    assert found[1].data.startswith(b'{"b":"xxx')
    assert len(found[1].data) <= 1000
