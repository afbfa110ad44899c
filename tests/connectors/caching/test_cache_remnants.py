"""What a cache still keeps of a post is found, and nothing where it was forgotten."""

from pathlib import Path

from connectors.caching.cache_remnants import in_cache
from connectors.caching.packing import packed
from connectors.caching.result_cache import ResultCache
from connectors.remnants import LookedFor
from core.records import CachedResult, Line, Reading

KEY, POST = b"k" * 16, b"p" * 16
READING = Reading((Line("words that were taken back", 0.9, ((0.0, 0.0),) * 4),))


def test_a_result_is_found_until_it_is_forgotten(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path, 2**24)
    cache.put({KEY: packed(CachedResult(READING, "ocr"))}, {KEY: [POST]})
    (found,) = in_cache(tmp_path, LookedFor(("words that were taken back",)))
    assert found.why == "cached results have it"
    assert not list(in_cache(tmp_path, LookedFor(("other words of somebody",))))
    cache.forget([POST])
    assert not list(in_cache(tmp_path, LookedFor(("words that were taken back",))))
    cache.close()
    assert not list(in_cache(tmp_path / "none", LookedFor(("words",))))


def test_bytes_that_are_left_are_found(tmp_path: Path) -> None:
    ResultCache(tmp_path, 2**24).close()
    (tmp_path / "results.sqlite3-wal").write_bytes(b"....words that were taken back....")
    (found,) = in_cache(tmp_path, LookedFor(("words that were taken back",)))
    assert found.why == "its bytes have it"
