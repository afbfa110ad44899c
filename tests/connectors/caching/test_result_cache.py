"""A bounded cache that is never wrong, whatever happens to its file: at worst it holds nothing."""

import multiprocessing
import os
import resource
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from connectors.caching import result_cache
from connectors.caching.result_cache import LEAST_BYTES, ResultCache
from core.errors import WorldError

A, B, C = (bytes([it]) * 16 for it in (1, 2, 3))
POST, AUTHOR = b"post" * 4, b"them" * 4


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ResultCache]:
    made = ResultCache(tmp_path / "cache", 2**24)
    yield made
    made.close()


def test_what_was_put_is_there_and_nothing_else(cache: ResultCache) -> None:
    cache.put({A: b"one", B: b""}, {})
    assert cache.get([A, B, C]) == {A: b"one", B: b""}
    cache.put({A: b"another"}, {})
    assert cache.get([A]) == {A: b"another"}
    assert cache.get([]) == {}


def test_it_is_there_after_the_process_and_for_others(cache: ResultCache, tmp_path: Path) -> None:
    cache.put({A: b"one"}, {})
    other = ResultCache(tmp_path / "cache", 2**24)
    assert other.get([A]) == {A: b"one"}
    assert other.hashed(b"a", b"b") == cache.hashed(b"a", b"b") != cache.hashed(b"ab", b"")
    other.put({B: b"two"}, {})
    assert cache.get([B]) == {B: b"two"}
    other.close()


def test_hashes_of_two_caches_differ(cache: ResultCache, tmp_path: Path) -> None:
    other = ResultCache(tmp_path / "other", 2**24)
    assert other.hashed(b"a") != cache.hashed(b"a")
    other.close()


def test_what_is_used_stays_and_the_file_stays_within_its_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_cache, "_FRESH_SECONDS", 0.0)
    bound = 2 * LEAST_BYTES
    cache = ResultCache(tmp_path, bound)
    cache.put({A: b"used"}, {})
    for number in range(3000):
        cache.put({number.to_bytes(16, "big"): bytes(1000)}, {number.to_bytes(16, "big"): [POST]})
        assert A in cache.get([A])
        assert cache.bytes() <= bound
    assert len(cache.get([number.to_bytes(16, "big") for number in range(3000)])) > 100
    assert cache.get([(2999).to_bytes(16, "big")])
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 3 * bound  # with the log of what is written
    cache.close()


def test_a_value_that_is_larger_than_all_is_not_kept(tmp_path: Path) -> None:
    cache = ResultCache(tmp_path, LEAST_BYTES)
    cache.put({A: b"one"}, {})
    cache.put({B: bytes(2 * LEAST_BYTES)}, {})
    assert cache.get([B]) == {}
    cache.put({C: b"three"}, {})
    assert cache.get([C]) == {C: b"three"}
    cache.close()


def test_what_is_forgotten_by_a_name_is_in_no_file(cache: ResultCache, tmp_path: Path) -> None:
    secret = b"what somebody wrote and took back"
    cache.put({A: secret, B: b"kept"}, {A: [POST, AUTHOR], B: [AUTHOR[::-1]]})
    cache.forget([POST])
    assert cache.get([A, B]) == {B: b"kept"}
    assert not any(secret in file.read_bytes() for file in (tmp_path / "cache").iterdir())


def test_nothing_is_kept_for_a_post_that_was_forgotten_while_it_was_looked_at(cache: ResultCache) -> None:
    cache.forget([POST])
    cache.put({A: b"late", B: b"of another"}, {A: [AUTHOR, POST], B: [AUTHOR]})
    assert cache.get([A, B]) == {B: b"of another"}


def test_a_post_that_was_edited_is_kept_again(cache: ResultCache) -> None:
    cache.put({A: b"before"}, {A: [POST]})
    cache.forget([POST], for_good=False)
    assert cache.get([A]) == {}
    cache.put({A: b"after"}, {A: [POST]})
    assert cache.get([A]) == {A: b"after"}


def test_what_one_computes_nobody_else_does(cache: ResultCache, tmp_path: Path) -> None:
    other = ResultCache(tmp_path / "cache", 2**24)
    assert cache.claim([A, B]) == {A, B}
    assert other.claim([A, C]) == {C}
    cache.put({A: b"one"}, {})
    cache.release([B])
    assert other.claim([A, B]) == {A, B}
    other.close()


def _claim_and_wait(folder: Path, told: Connection) -> None:
    ResultCache(folder, 2**24).claim([A])
    told.send("claimed")
    signal.pause()


def test_a_process_that_is_killed_leaves_no_claim(cache: ResultCache, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_claim_and_wait, args=(tmp_path / "cache", there))
    process.start()
    assert here.recv() == "claimed"
    assert cache.claim([A]) == set()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert cache.claim([A]) == {A}


def test_a_process_with_the_same_number_elsewhere_is_another_one(tmp_path: Path) -> None:
    """As in two containers, both of which call their first process 1."""
    one, other = (ResultCache(tmp_path / "cache", 2**24) for _ in range(2))
    assert one.claim([A]) == {A}
    other.release([A])
    assert other.claim([A]) == set()
    one.close()
    assert other.claim([A]) == {A}
    other.close()
    assert {it.name for it in (tmp_path / "cache").iterdir()} == {"results.sqlite3"}


def _put_on_a_full_disk(folder: Path, told: Connection) -> None:
    cache = ResultCache(folder, 2**26)
    cache.put({A: b"before"}, {})
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**18, resource.RLIM_INFINITY))
    for number in range(100):
        cache.put({number.to_bytes(16, "big"): number.to_bytes(10_000, "big")}, {})
        cache.claim([B])
        cache.release([B])
    found = cache.get([A, *(number.to_bytes(16, "big") for number in range(100))])
    cache.forget([POST])
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    cache.put({B: b"after"}, {})
    told.send((found, cache.get([B])))
    cache.close()


def test_a_file_that_cannot_grow_stops_nothing_and_is_whole(tmp_path: Path) -> None:
    """The system refuses each write beyond some size, as a full disk does."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_put_on_a_full_disk, args=(tmp_path, there))
    process.start()
    there.close()
    found, after = here.recv()
    process.join()
    assert found.pop(A, b"before") == b"before"
    assert len(found) < 100
    assert all(value == int.from_bytes(key, "big").to_bytes(10_000, "big") for key, value in found.items())
    assert after == {B: b"after"}
    with closing(sqlite3.connect(tmp_path / "results.sqlite3")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def _put_until_killed(folder: Path, told: Connection) -> None:
    cache = ResultCache(folder, 2**24)
    for number in range(10**9):
        cache.put({number.to_bytes(16, "big"): number.to_bytes(5000, "big")}, {})
        if number == 20:
            told.send("begun")


def test_a_kill_amid_writes_leaves_whole_values(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_put_until_killed, args=(tmp_path, there))
    process.start()
    assert here.recv() == "begun"
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    cache = ResultCache(tmp_path, 2**24)
    found = cache.get([number.to_bytes(16, "big") for number in range(500)])
    assert len(found) > 20
    assert all(value == int.from_bytes(key, "big").to_bytes(5000, "big") for key, value in found.items())
    cache.close()


@pytest.mark.parametrize("broken", [b"", b"no database at all" * 1000], ids=["empty", "foreign"])
def test_a_file_that_is_no_cache_is_replaced(tmp_path: Path, broken: bytes) -> None:
    (tmp_path / "results.sqlite3").write_bytes(broken)
    cache = ResultCache(tmp_path, 2**24)
    cache.put({A: b"one"}, {})
    assert cache.get([A]) == {A: b"one"}
    cache.close()


def test_a_file_that_breaks_while_it_is_used_is_replaced(cache: ResultCache, tmp_path: Path) -> None:
    cache.put({number.to_bytes(16, "big"): bytes(5000) for number in range(200)}, {})
    cache.close()
    file = tmp_path / "cache" / "results.sqlite3"
    whole = file.read_bytes()
    file.write_bytes(whole[:8192] + os.urandom(len(whole) - 8192))
    again = ResultCache(tmp_path / "cache", 2**24)
    again.get([number.to_bytes(16, "big") for number in range(200)])
    again.put({A: b"one"}, {})
    again.put({B: b"two"}, {})
    assert again.get([B]) == {B: b"two"}
    again.close()


def test_a_value_that_was_changed_on_the_disk_is_none(cache: ResultCache, tmp_path: Path) -> None:
    cache.put({A: b"one", B: b"two"}, {})
    with sqlite3.connect(tmp_path / "cache" / "results.sqlite3") as database:
        database.execute("UPDATE results SET value = (SELECT value FROM results WHERE key = ?) WHERE key = ?", (A, B))
    database.close()
    assert cache.get([A, B]) == {A: b"one"}


def test_a_folder_that_cannot_be_written_is_an_empty_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = ResultCache(tmp_path / "file" / "cache", 2**24)
    cache.put({A: b"one"}, {})
    assert cache.get([A]) == {}
    assert cache.claim([A]) == {A}
    cache.forget([POST])
    cache.close()


def test_a_folder_that_everyone_can_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o777)
    (tmp_path / "cache").chmod(0o777)
    with pytest.raises(WorldError, match="is world-writable"):
        ResultCache(tmp_path / "cache", 2**24)


def test_a_full_disk_stops_nothing(cache: ResultCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    cache.put({A: b"one"}, {})
    with monkeypatch.context() as patched:
        patched.setattr(result_cache, "_used_bytes", full)
        cache.put({B: b"two"}, {})
    assert cache.get([A, B]) == {A: b"one"}
    cache.put({B: b"two"}, {})
    assert cache.get([A, B]) == {A: b"one", B: b"two"}
