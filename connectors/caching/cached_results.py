"""What models said of an image or a text before: looked up by what it is, and computed once where nothing is known.

An image is named by the SHA-256 of the bytes that were fetched, or by what a service itself calls its content; a text
by itself. No field of a post names either, or a stranger could borrow the results of another image. A key holds
besides which model answered, its settings and the version of memewax, so that what is found is what would be computed.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, Final, Literal

from connectors.caching.packing import packed, unpacked
from connectors.caching.result_cache import ResultCache
from core import __version__
from core.records import CachedImage, CachedResult, Failure, Pixels, Post, Reading, Removal
from core.telemetry import CACHE_HITS, CACHE_MISSES, CACHE_SECONDS_SAVED
from models.duplicates import Duplicates
from models.fingerprint import fingerprint

IMAGE: Final = "picture"
"""The stage of what is known of an image itself: its size and its thumbnail."""
_CONTENT: Final = "content"
"""The stage that tells which bytes a service's name stands for."""
_TICK: Final = 0.01
"""Seconds between two looks at what another process computes."""

HitKind = Literal["exact", "source", "near"]


@dataclass(frozen=True, slots=True)
class Asked:
    """An image or text that a model is to look at."""

    subject: bytes
    """The image's SHA-256, or the text."""
    item: Any
    """What the model is shown."""
    names: tuple[bytes, ...]
    """Of `names_of` its post: what the result is forgotten by."""


class CachedResults:
    """The results of one set of models.

    Args:
        cache: Where they are kept.
        identities: Of each stage what its results depend on besides the subject.
        of_images: The stages whose model looks at images: an image is known when all of them have answered.
        finds_copies: Whether a copy of an image has its results: of the last 100,000 that this process has fetched.
    """

    def __init__(
        self,
        cache: ResultCache,
        identities: Mapping[str, str],
        of_images: Sequence[str],
        *,
        finds_copies: bool = False,
    ) -> None:
        self._cache = cache
        self._looks = Duplicates() if finds_copies else None
        self._lock = Lock()
        named = {IMAGE: "", _CONTENT: "", **identities}
        self._identities = {stage: f"{__version__} {it}".encode() for stage, it in named.items()}
        self._of_images = (IMAGE, *of_images)

    def of_image(self, sha256: str, kind: HitKind = "exact") -> Mapping[str, CachedResult]:
        """What each stage said of an image that all of them have seen, by stage; else empty."""
        keys = {stage: self._key(stage, sha256.encode()) for stage in self._of_images}
        found = self._found(list(keys.values()), kind)
        if len(found) < len(keys):
            return {}
        known = {stage: found[key] for stage, key in keys.items()}
        for stage, it in known.items():
            _count_hit(stage, it)
        return known

    def of_copy(self, sha256: str, image: Pixels) -> Mapping[str, CachedResult]:
        """What is known of an image that this one is a copy of; else empty, and this one is remembered.

        The boxes of lines are those of an image of this one's size.

        Args:
            sha256: Of the bytes that it was fetched as.
            image: uint8 array of shape (height, width, 3).
        """
        looks = None if self._looks is None else fingerprint(image)
        if self._looks is None or looks is None:
            return {}
        with self._lock:
            original = self._looks.find_original("", looks)
            known = {} if original is None else self.of_image(original.post, "near")
            if not known:
                if original is not None:  # evicted or deleted, or not looked at yet
                    self._looks.forget([original.post])
                self._looks.remember(sha256, looks, 0)
                return {}
        height, width = image.shape[:2]
        facts: CachedImage = known[IMAGE].value
        by = (width / facts.width, height / facts.height)
        return {stage: replace(it, value=_scaled(it.value, by)) for stage, it in known.items()}

    def sha256_of(self, content: str) -> str:
        """SHA-256 of the bytes that a service calls `content`; empty where it is not known."""
        found = self._found([key := self._key(_CONTENT, content.encode())], "source")
        return str(found[key].value) if found else ""

    def keep_image(self, post: Post, known: CachedResult) -> None:
        """Keep what is known of the image of a post that was fetched, and what its service calls the content."""
        values = {self._key(IMAGE, post.picture_sha256.encode()): packed(known)}
        if post.message.content:
            values[self._key(_CONTENT, post.message.content.encode())] = packed(CachedResult(post.picture_sha256))
        self._cache.put(values, dict.fromkeys(values, self.names_of(post)))

    def names_of(self, post: Post) -> tuple[bytes, ...]:
        """What the results of a post are forgotten by."""
        return self._named(post.global_id, post.whole_id, post.url, post.account)

    def forget(self, removals: Iterable[Removal]) -> None:
        """Forget what is known through posts that were taken back for good."""
        for_good = [it for it in removals if it.hidden is None]
        if for_good:
            self._cache.forget(
                {name for it in for_good for name in self._named(it.global_id, it.post_id, it.url, it.account)}
            )

    def forget_edited(self, post: Post) -> None:
        """Forget what is known through a post before it was edited."""
        self._cache.forget(self._named(post.global_id), for_good=False)

    def answers(
        self, stage: str, model: str, asked: Sequence[Asked], compute: Callable[[list[Any]], list[Any]]
    ) -> list[CachedResult | Failure]:
        """What is known of each of `asked`, or is computed now: of equal ones once, whichever process does it.

        Args:
            stage: Whose results these are.
            model: Its model's name.
            asked: In order.
            compute: Gives a result or `Failure` for each item of a list.
        """
        keys = [self._key(stage, it.subject) for it in asked]
        found = self._found(keys, "exact")
        missing = {key: it for key, it in zip(keys, asked, strict=True) if key not in found}
        own: dict[bytes, CachedResult | Failure] = {}
        while missing:
            mine = self._cache.claim(missing)
            # Who had the claim may have kept its result since it was looked for.
            found |= (late := self._found(list(mine), "exact"))
            self._cache.release(late)
            to_do = {key: it for key, it in missing.items() if key in mine and key not in late}
            own |= self._computed(model, to_do, compute)
            missing = {key: it for key, it in missing.items() if key not in mine}
            if missing:  # another process or thread is at it; it holds no claim while it waits, as this one does not
                time.sleep(0 if mine else _TICK)
                found |= self._found(list(missing), "exact")
                missing = {key: it for key, it in missing.items() if key not in found}
        CACHE_MISSES.labels(stage).inc(len(own))
        answers: list[CachedResult | Failure] = []
        for key in keys:
            answer = own[key] if key in own else found[key]
            answers.append(answer)
            if isinstance(answer, CachedResult):
                own.pop(key, None)
                found[key] = replace(answer, kind="exact")  # what is the same in this batch has not been computed
                if answer.kind:
                    _count_hit(stage, answer)
        return answers

    def close(self) -> None:
        """Close the cache."""
        self._cache.close()

    def _computed(
        self, model: str, asked: Mapping[bytes, Asked], compute: Callable[[list[Any]], list[Any]]
    ) -> dict[bytes, CachedResult | Failure]:
        """Compute what was claimed, and keep what did not fail."""
        if not asked:
            return {}
        values: dict[bytes, bytes] = {}
        try:
            start = time.perf_counter()
            made = compute([it.item for it in asked.values()])
            seconds = (time.perf_counter() - start) / len(asked)
            answers = {
                key: it if isinstance(it, Failure) else CachedResult(it, model, seconds)
                for key, it in zip(asked, made, strict=True)
            }
            for key, it in answers.items():
                if isinstance(it, CachedResult):
                    with suppress(TypeError):  # half a character, which JSON cannot hold
                        values[key] = packed(it)
            return answers
        finally:
            self._cache.put(values, {key: asked[key].names for key in values})
            self._cache.release(key for key in asked if key not in values)

    def _found(self, keys: Sequence[bytes], kind: HitKind) -> dict[bytes, CachedResult]:
        found = {}
        for key, data in self._cache.get(keys).items():
            with suppress(ValueError, TypeError, KeyError, AttributeError):  # not of this version: computed anew
                found[key] = replace(unpacked(data), kind=kind)
        return found

    def _key(self, stage: str, subject: bytes) -> bytes:
        return self._cache.hashed(stage.encode(), self._identities[stage], subject)

    def _named(self, *names: str) -> tuple[bytes, ...]:
        return tuple(
            self._cache.hashed(b"name", name.encode(errors="surrogatepass")) for name in dict.fromkeys(names) if name
        )


def _scaled(value: Any, by: tuple[float, float]) -> Any:
    """A reading of an image that is so many times as wide and as high; what is none stays as it is."""
    if not isinstance(value, Reading):
        return value
    lines = (replace(it, box=tuple((x * by[0], y * by[1]) for x, y in it.box)) for it in value.lines)
    return replace(value, lines=tuple(lines))


def _count_hit(stage: str, known: CachedResult) -> None:
    CACHE_HITS.labels(stage, known.kind).inc()
    CACHE_SECONDS_SAVED.inc(known.seconds)
