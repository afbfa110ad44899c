"""Cached results of models, looked up by content; each result is computed once across processes.

The key of an image is the SHA-256 of the fetched bytes, or its service's own content id; the key of a text is the text.
Fields of posts are never keys, or a stranger could obtain the results of another image. Keys also contain the model,
its settings and the version of memewax, so a cached result equals what would be computed.
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
"""Stage of the facts about an image itself: its size and thumbnail."""
_CONTENT: Final = "content"
"""Stage that maps a service's content id to the SHA-256 of the bytes."""
_TICK: Final = 0.01
"""Seconds between two checks for a result that another process computes."""

HitKind = Literal["exact", "source", "near"]


@dataclass(frozen=True, slots=True)
class Asked:
    """An image or text to be processed by a model."""

    subject: bytes
    """The image's SHA-256, or the text."""
    item: Any
    """Input of the model."""
    names: tuple[bytes, ...]
    """From `names_of` its post: the names by which the result can be deleted."""


class CachedResults:
    """Cached results of one set of models.

    Args:
        cache: Stores the results.
        identities: By stage, everything that its results depend on besides the subject.
        of_images: Stages that process images; an image is a hit only if all of them have results.
        finds_copies: Whether near duplicates of an image share its results, among the last 100,000 images that this
            process has fetched.
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
        """Return the results of an image by stage; empty unless all stages have one."""
        keys = {stage: self._key(stage, sha256.encode()) for stage in self._of_images}
        found = self._found(list(keys.values()), kind)
        if len(found) < len(keys):
            return {}
        known = {stage: found[key] for stage, key in keys.items()}
        for stage, it in known.items():
            _count_hit(stage, it)
        return known

    def of_copy(self, sha256: str, image: Pixels) -> Mapping[str, CachedResult]:
        """Return the results of the original if this image is a near duplicate; otherwise remember it and return {}.

        Boxes of text lines are scaled to the size of this image.

        Args:
            sha256: SHA-256 of the fetched bytes.
            image: uint8 array of shape (height, width, 3).
        """
        looks = None if self._looks is None else fingerprint(image)
        if self._looks is None or looks is None:
            return {}
        with self._lock:
            original = self._looks.find_original("", looks)
            known = {} if original is None else self.of_image(original.post, "near")
            if not known:
                if original is not None:  # evicted, deleted or not processed yet
                    self._looks.forget([original.post])
                self._looks.remember(sha256, looks, 0)
                return {}
        height, width = image.shape[:2]
        facts: CachedImage = known[IMAGE].value
        by = (width / facts.width, height / facts.height)
        return {stage: replace(it, value=_scaled(it.value, by)) for stage, it in known.items()}

    def sha256_of(self, content: str) -> str:
        """Return the SHA-256 of the bytes with a service's content id; "" if unknown."""
        found = self._found([key := self._key(_CONTENT, content.encode())], "source")
        return str(found[key].value) if found else ""

    def keep_image(self, post: Post, known: CachedResult) -> None:
        """Cache the facts about a fetched image, and its service's content id."""
        values = {self._key(IMAGE, post.picture_sha256.encode()): packed(known)}
        if post.message.content:
            values[self._key(_CONTENT, post.message.content.encode())] = packed(CachedResult(post.picture_sha256))
        self._cache.put(values, dict.fromkeys(values, self.names_of(post)))

    def names_of(self, post: Post) -> tuple[bytes, ...]:
        """Return the hashed names by which the results of a post can be deleted."""
        return self._named(post.global_id, post.whole_id, post.url, post.account)

    def forget(self, removals: Iterable[Removal]) -> None:
        """Delete the results of posts that were removed for good, not only hidden."""
        for_good = [it for it in removals if it.hidden is None]
        if for_good:
            self._cache.forget(
                {name for it in for_good for name in self._named(it.global_id, it.post_id, it.url, it.account)}
            )

    def forget_edited(self, post: Post) -> None:
        """Delete the results of the earlier version of an edited post."""
        self._cache.forget(self._named(post.global_id), for_good=False)

    def answers(
        self, stage: str, model: str, asked: Sequence[Asked], compute: Callable[[list[Any]], list[Any]]
    ) -> list[CachedResult | Failure]:
        """Return the result of each item, cached or computed; equal items are computed once, also across processes.

        Args:
            stage: Stage of the results.
            model: Name of its model.
            asked: The items; results have the same order.
            compute: Returns a result or `Failure` for each item of a list.
        """
        keys = [self._key(stage, it.subject) for it in asked]
        found = self._found(keys, "exact")
        missing = {key: it for key, it in zip(keys, asked, strict=True) if key not in found}
        own: dict[bytes, CachedResult | Failure] = {}
        while missing:
            mine = self._cache.claim(missing)
            # The previous holder of a claim may have stored its result since the lookup.
            found |= (late := self._found(list(mine), "exact"))
            self._cache.release(late)
            to_do = {key: it for key, it in missing.items() if key in mine and key not in late}
            own |= self._computed(model, to_do, compute)
            missing = {key: it for key, it in missing.items() if key not in mine}
            if missing:  # another process or thread computes it; no deadlock, since nobody holds claims while waiting
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
                found[key] = replace(answer, kind="exact")  # a duplicate in this batch is a hit
                if answer.kind:
                    _count_hit(stage, answer)
        return answers

    def close(self) -> None:
        """Close the cache."""
        self._cache.close()

    def _computed(
        self, model: str, asked: Mapping[bytes, Asked], compute: Callable[[list[Any]], list[Any]]
    ) -> dict[bytes, CachedResult | Failure]:
        """Compute the claimed items, and cache the results that are not failures."""
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
                    with suppress(TypeError):  # a lone surrogate, which JSON cannot represent
                        values[key] = packed(it)
            return answers
        finally:
            self._cache.put(values, {key: asked[key].names for key in values})
            self._cache.release(key for key in asked if key not in values)

    def _found(self, keys: Sequence[bytes], kind: HitKind) -> dict[bytes, CachedResult]:
        found = {}
        for key, data in self._cache.get(keys).items():
            with suppress(ValueError, TypeError, KeyError, AttributeError):  # of another version: compute it again
                found[key] = replace(unpacked(data), kind=kind)
        return found

    def _key(self, stage: str, subject: bytes) -> bytes:
        return self._cache.hashed(stage.encode(), self._identities[stage], subject)

    def _named(self, *names: str) -> tuple[bytes, ...]:
        return tuple(
            self._cache.hashed(b"name", name.encode(errors="surrogatepass")) for name in dict.fromkeys(names) if name
        )


def _scaled(value: Any, by: tuple[float, float]) -> Any:
    """Scale the boxes of an OCR result by (width, height) factors; other values are returned unchanged."""
    if not isinstance(value, Reading):
        return value
    lines = (replace(it, box=tuple((x * by[0], y * by[1]) for x, y in it.box)) for it in value.lines)
    return replace(value, lines=tuple(lines))


def _count_hit(stage: str, known: CachedResult) -> None:
    CACHE_HITS.labels(stage, known.kind).inc()
    CACHE_SECONDS_SAVED.inc(known.seconds)
