"""What is known of an image or text is not computed again, by whomever, and is forgotten with its post."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from PIL import Image

from connectors.caching.cached_results import IMAGE, Asked, CachedResults
from connectors.caching.result_cache import ResultCache
from core.records import CachedImage, CachedResult, Failure, Line, Message, Pixels, Post, Reading, Removal

MESSAGE = Message(b"{}", "test")
SHA = "ab" * 32
POST = Post("1_1-a", "https://a.example/1.png", MESSAGE, author="ann", source="a", post_id="1-a", picture_sha256=SHA)
IDENTITIES = {IMAGE: "320", "embedding": "vit@1", "text": "ocr@1", "sentiment": "vader"}


def results(cache: ResultCache, **identities: str) -> CachedResults:
    return CachedResults(cache, IDENTITIES | identities, ("embedding", "text"))


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[ResultCache]:
    made = ResultCache(tmp_path / "cache", 2**24)
    yield made
    made.close()


class Counting:
    """What computes, and what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def __call__(self, items: list[Any]) -> list[Any]:
        self.asked += items
        return [Failure("text", "ValueError", "bad") if it == "bad" else f"of {it}" for it in items]


def ask(known: CachedResults, compute: Callable[[list[Any]], list[Any]], *items: str, post: Post = POST) -> list[Any]:
    asked = [Asked(it.encode(), it, known.names_of(post)) for it in items]
    return known.answers("text", "ocr", asked, compute)


def test_each_is_computed_once(cache: ResultCache) -> None:
    known, compute = results(cache), Counting()
    first = ask(known, compute, "a", "b", "a")
    assert [(it.value, it.kind) for it in first] == [("of a", ""), ("of b", ""), ("of a", "exact")]
    second = ask(results(cache), compute, "b", "c", "a")
    assert [(it.value, it.kind, it.model) for it in second] == [
        ("of b", "exact", "ocr"),
        ("of c", "", "ocr"),
        ("of a", "exact", "ocr"),
    ]
    assert compute.asked == ["a", "b", "c"]


def test_a_failure_is_tried_again(cache: ResultCache) -> None:
    known, compute = results(cache), Counting()
    for _ in range(2):
        bad, other, again = ask(known, compute, "bad", "a", "bad")
        assert isinstance(bad, Failure)
        assert bad == again
        assert other.value == "of a"
    assert compute.asked == ["bad", "a", "bad"]


def test_what_another_model_said_is_not_known(cache: ResultCache) -> None:
    compute = Counting()
    ask(results(cache), compute, "a")
    ask(results(cache, text="ocr@2"), compute, "a")
    assert compute.asked == ["a", "a"]


def test_a_cache_that_cannot_be_used_computes_all(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    known, compute = results(ResultCache(tmp_path / "file" / "cache", 2**24)), Counting()
    assert [it.value for it in ask(known, compute, "a", "b", "a")] == ["of a", "of b", "of a"]
    ask(known, compute, "a")
    assert compute.asked == ["a", "b", "a"]


def test_two_that_meet_it_at_the_same_time_compute_it_once(
    cache: ResultCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ResultCache(tmp_path / "cache", 2**24)  # as another process has it
    has_begun, other_asks = Event(), Event()
    claim = other.claim

    def noted(keys: Any) -> set[bytes]:
        mine = claim(keys)
        other_asks.set()
        return mine

    monkeypatch.setattr(other, "claim", noted)
    compute, never = Counting(), Counting()

    def slow(items: list[Any]) -> list[Any]:
        has_begun.set()
        assert other_asks.wait(30)
        return compute(items)

    found: list[Any] = []
    thread = Thread(target=lambda: found.extend(ask(results(cache), slow, "a")))
    thread.start()
    assert has_begun.wait(30)
    (answer,) = ask(results(other), never, "a")
    thread.join()
    assert (answer.value, answer.kind) == ("of a", "exact")
    assert [it.value for it in found] == ["of a"]
    assert not never.asked
    other.close()


def test_who_waits_computes_it_where_the_other_fails(cache: ResultCache, tmp_path: Path) -> None:
    other = ResultCache(tmp_path / "cache", 2**24)
    key = results(cache)._key("text", b"a")
    assert cache.claim([key]) == {key}
    compute = Counting()
    found: list[Any] = []
    thread = Thread(target=lambda: found.extend(ask(results(other), compute, "a")))
    thread.start()
    cache.release([key])
    thread.join(30)
    assert [it.value for it in found] == ["of a"]
    other.close()


def image_known(cache: ResultCache, post: Post = POST) -> CachedResults:
    """Results of which all of an image's are known."""
    known = results(cache)
    known.keep_image(post, CachedResult(CachedImage(4, 3, b"webp"), seconds=0.5))
    for stage in ("embedding", "text"):
        known.answers(stage, "model", [Asked(SHA.encode(), "pixels", known.names_of(post))], Counting())
    return known


def test_an_image_is_known_when_all_have_seen_it(cache: ResultCache) -> None:
    known = results(cache)
    known.keep_image(POST, CachedResult(CachedImage(4, 3)))
    assert known.of_image(SHA) == {}
    found = image_known(cache).of_image(SHA)
    assert found.keys() == {IMAGE, "embedding", "text"}
    assert found["text"] == CachedResult("of pixels", "model", found["text"].seconds, "exact")
    assert found[IMAGE].value == CachedImage(4, 3, b"webp")
    assert known.of_image("cd" * 32) == {}


def test_a_service_names_an_image(cache: ResultCache) -> None:
    named = replace(POST, message=Message(b"{}", "bluesky@1", content="bluesky:bafk"))
    known = image_known(cache, named)
    assert known.sha256_of("bluesky:bafk") == SHA
    assert known.sha256_of("bluesky:other") == ""
    assert {it.kind for it in known.of_image(SHA, "source").values()} == {"source"}


@pytest.mark.parametrize(
    "removal",
    [
        Removal(MESSAGE, global_id="1_1-a"),
        Removal(MESSAGE, post_id="1-a"),
        Removal(MESSAGE, url="https://a.example/1.png"),
        Removal(MESSAGE, author="ann", source="a"),
    ],
    ids=["image", "post", "url", "author"],
)
def test_what_is_deleted_is_forgotten(cache: ResultCache, removal: Removal) -> None:
    known = image_known(cache)
    known.forget([replace(removal, hidden=True)])
    known.forget([Removal(MESSAGE, global_id="2-a")])
    assert known.of_image(SHA)
    known.forget([removal])
    assert known.of_image(SHA) == {}
    compute = Counting()
    ask(known, compute, SHA)
    assert compute.asked == [SHA]


def test_what_an_edit_replaces_is_forgotten(cache: ResultCache) -> None:
    known = image_known(cache)
    known.forget_edited(POST)
    assert known.of_image(SHA) == {}
    assert image_known(cache).of_image(SHA)


def drawn(seed: int, width: int = 96, height: int = 64) -> Pixels:
    """An image of some coarse fields."""
    fields = np.random.default_rng(seed).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(fields).resize((width, height), Image.Resampling.BICUBIC))


def with_image(known: CachedResults, sha256: str, image: Pixels) -> None:
    """Look at an image with all models."""
    post = replace(POST, picture_sha256=sha256)
    height, width = image.shape[:2]
    known.keep_image(post, CachedResult(CachedImage(width, height)))
    corners = ((0.0, 0.0), (24.0, 0.0), (24.0, 32.0), (0.0, 32.0))
    reading = Reading((Line("a line", 0.9, corners),))
    for stage, value in (("embedding", "vector"), ("text", reading)):
        asked = [Asked(sha256.encode(), "pixels", known.names_of(post))]
        known.answers(stage, "model", asked, lambda items, value=value: [value] * len(items))


def test_a_copy_has_the_results_of_its_original_and_boxes_of_its_own_size(cache: ResultCache) -> None:
    known = CachedResults(cache, IDENTITIES, ("embedding", "text"), finds_copies=True)
    assert known.of_copy(SHA, drawn(1)) == {}
    with_image(known, SHA, drawn(1))
    found = known.of_copy("cd" * 32, drawn(1, 48, 32))
    assert {it.kind for it in found.values()} == {"near"}
    assert found["embedding"].value == "vector"
    assert found["text"].value.lines[0].box == ((0.0, 0.0), (12.0, 0.0), (12.0, 16.0), (0.0, 16.0))
    assert known.of_copy("ef" * 32, drawn(2)) == {}


def test_a_copy_of_what_was_deleted_is_looked_at_and_is_the_original_then(cache: ResultCache) -> None:
    known = CachedResults(cache, IDENTITIES, ("embedding", "text"), finds_copies=True)
    known.of_copy(SHA, drawn(1))
    with_image(known, SHA, drawn(1))
    known.forget_edited(POST)
    assert known.of_copy("cd" * 32, drawn(1, 48, 32)) == {}
    with_image(known, "cd" * 32, drawn(1, 48, 32))
    assert known.of_copy("ef" * 32, drawn(1, 72, 48))["embedding"].value == "vector"


def test_copies_are_looked_for_where_that_is_asked_for(cache: ResultCache) -> None:
    known = image_known(cache)
    assert known.of_copy(SHA, drawn(1)) == {}
    assert known.of_copy("cd" * 32, drawn(1)) == {}
