"""Results go through bytes unchanged."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.caching.packing import packed, unpacked
from core.records import CachedImage, CachedResult, Entity, Features, Line, Reading, Sentiment

numbers = st.floats(0, 1)
lines = st.builds(Line, st.text(), numbers, st.tuples(*[st.tuples(numbers, numbers)] * 4))
records = st.one_of(
    st.builds(Reading, st.lists(lines, max_size=3).map(tuple), st.text()),
    st.builds(Sentiment, numbers, numbers, numbers, numbers),
    st.lists(st.builds(Entity, st.text(), st.text(), st.integers(0, 9), st.integers(0, 9)), max_size=3).map(tuple),
    st.builds(CachedImage, st.integers(0, 9999), st.integers(0, 9999), st.none() | st.binary()),
)


@given(records)
def test_a_record_comes_back_as_it_was(value: Any) -> None:
    known = CachedResult(value, "model@1", 0.25)
    assert unpacked(packed(known)) == known


def test_arrays_come_back_to_the_bit() -> None:
    random = np.random.default_rng(0)
    embedding = random.normal(size=384).astype(np.float32)
    patches = random.integers(-127, 128, (8, 8, 64)).astype(np.int8)
    found = unpacked(packed(CachedResult(Features(embedding, patches, b"\x00\xff"), "dinov2", 1.0))).value
    assert found.embedding.dtype == np.float32
    assert (found.embedding == embedding).all()
    assert (found.patches == patches).all()
    assert found.patches.shape == (8, 8, 64)
    assert found.fingerprint == b"\x00\xff"


def test_what_is_no_value_is_refused() -> None:
    with pytest.raises(TypeError):
        packed(CachedResult(object()))
    with pytest.raises(TypeError):
        packed(CachedResult("half a character: \ud800"))


@pytest.mark.parametrize("data", [b"", b"no JSON", b'{"~record": "Nobody"}', b'{"~array": ["<f4", [3], "AAAA"]}'])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        unpacked(data)
