"""Objects in buckets: their limits, their driver, and whose credentials they are read with."""

import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry, known_implementations

from connectors.fetching.address_policy import AddressPolicy
from connectors.fetching.buckets import Buckets
from connectors.fetching.outcomes import FetchError, Outcome


class Bucket(MemoryFileSystem):
    """fsspec's own file system in memory, which notes the options that it is opened with and the bytes asked for."""

    store: ClassVar[dict[str, Any]] = {}
    opened: ClassVar[list[dict[str, Any]]] = []
    ranges: ClassVar[list[tuple[Any, Any]]] = []
    cachable = False

    def __init__(self, **options: Any) -> None:
        self.opened.append(options)
        super().__init__(**options)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        self.ranges.append((start, end))
        data: bytes = super().cat_file(path, start, end, **options)
        return data


class Slow(Bucket):
    over: ClassVar[threading.Event] = threading.Event()

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        assert self.over.wait(30)
        return b""


class Forbidden(Bucket):
    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        raise PermissionError("403")


class Empty(Bucket):
    """As the drivers answer where an object has no bytes."""

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        raise OSError(22, "The requested range is not satisfiable")


@pytest.fixture(params=["gs", "s3"])
def scheme(request: pytest.FixtureRequest) -> Iterator[str]:
    scheme: str = request.param
    use(scheme, Bucket)
    Bucket().pipe_file("images/a b?c#d/%41.png", b"0123456789")
    Bucket.opened.clear()
    Bucket.ranges.clear()
    yield scheme
    Bucket.store.clear()
    _registry.pop(scheme)


def use(scheme: str, system: type[Bucket]) -> None:
    fsspec.register_implementation(scheme, system, clobber=True)


def buckets(*allowed: str, max_bytes: int = 10, seconds: float = 5.0) -> Buckets:
    return Buckets(AddressPolicy.of(allowed), max_bytes=max_bytes, seconds=seconds)


def failure(buckets: Buckets, url: str) -> FetchError:
    with pytest.raises(FetchError) as caught:
        buckets.get(url)
    return caught.value


def test_an_object_is_read_by_its_name_as_it_stands(scheme: str) -> None:
    assert buckets().get(f"{scheme}://images/a b?c#d/%41.png") == b"0123456789"


def test_no_more_is_asked_for_than_allowed(scheme: str) -> None:
    told = failure(buckets(max_bytes=9), f"{scheme}://images/a b?c#d/%41.png")
    assert (told.outcome, str(told)) == (Outcome.TOO_LARGE, "more than 9 bytes")
    assert Bucket.ranges == [(0, 10)]


def test_an_object_that_is_not_there_is_a_reason(scheme: str) -> None:
    told = failure(buckets(), f"{scheme}://images/gone.png")
    assert (told.outcome, str(told)) == (Outcome.NOT_FOUND, "no such object")


def test_an_empty_object_has_no_bytes(scheme: str) -> None:
    use(scheme, Empty)
    assert buckets().get(f"{scheme}://images/1.png") == b""


def test_a_bucket_that_does_not_answer_is_a_reason(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Slow, "over", threading.Event())
    use(scheme, Slow)
    told = failure(buckets(seconds=0.05), f"{scheme}://images/1.png")
    assert (told.outcome, str(told)) == (Outcome.TIMEOUT, "incomplete after 0.05 s")
    Slow.over.set()


@pytest.mark.parametrize(
    "url", ["://", "://images", "://images/", ":///1.png", "://a@b/1.png", "://UP/1", "://a..%2f/1"]
)
def test_what_names_no_object_is_a_reason(scheme: str, url: str) -> None:
    assert failure(buckets(), scheme + url).outcome == Outcome.UNSUPPORTED
    assert not Bucket.ranges


@pytest.mark.parametrize(("scheme", "extra"), [("gs", "memewax[gcs]"), ("s3", "memewax[s3]")])
def test_a_driver_that_is_not_installed_is_named(scheme: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(known_implementations, scheme, {"class": "no_such_driver.Driver"})
    told = failure(buckets(), f"{scheme}://images/1.png")
    assert (told.outcome, str(told)) == (Outcome.UNSUPPORTED, f"{scheme}:// needs a driver: pip install '{extra}'")


def test_only_a_bucket_that_the_settings_name_is_read_with_credentials(scheme: str) -> None:
    both = buckets(f"{scheme}://ours")
    for bucket in ("ours", "theirs", "ours", "theirs"):
        failure(both, f"{scheme}://{bucket}/1.png")
    as_anybody = {"token": "anon"} if scheme == "gs" else {"anon": True}
    assert Bucket.opened == [{}, as_anybody]


def test_a_bucket_that_is_not_public_says_what_to_set(scheme: str) -> None:
    use(scheme, Forbidden)
    assert "MEMEWAX_FETCH_ALLOW" in str(failure(buckets(), f"{scheme}://ours/1.png"))
    assert "MEMEWAX_FETCH_ALLOW" not in str(failure(buckets(f"{scheme}://ours/"), f"{scheme}://ours/1.png"))
