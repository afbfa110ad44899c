"""Images: fetched once, decoded once, before the fork."""

import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import SplitResult, unquote, urlsplit

import numpy as np

from connectors.caching.cached_results import IMAGE, CachedResults
from connectors.fetching.address_policy import AddressPolicy
from connectors.fetching.buckets import Buckets
from connectors.fetching.decode import decode
from connectors.fetching.host_executor import PerHostExecutor
from connectors.fetching.outcomes import FetchError, Outcome, outcome_of
from connectors.fetching.poison_items import PoisonMarks, key_of
from connectors.fetching.thumbnail import thumbnail
from connectors.fetching.web import WebFetcher, WebLimits
from connectors.fetching.weighted_semaphore import WeightedSemaphore
from core.records import Arrival, CachedImage, CachedResult, Failure, Pixels, Post
from core.telemetry import DECODE_SECONDS, FETCH_BYTES, FETCH_SECONDS, FETCHES

STAGE: Final = "fetch"
_OF_HALF_A_FILE: Final = frozenset({Outcome.BROKEN_IMAGE, Outcome.NOT_AN_IMAGE})
_FRESH_SECONDS: Final = 60.0
"""A file that changed so lately may still be written to."""

_NEVER_FILES: Final = frozenset({"about", "blob", "data", "ftp", "javascript", "mailto", "urn"})
"""Schemes that stand without `//` in URLs; other names with a colon may be files."""
_HOST: Final = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.(?!png|jpe?g|gif|webp|avif)[A-Za-z]{2,24}(:[0-9]+)?/")
"""A path that begins as the name of a host does."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an image may cost."""

    web: WebLimits
    per_host: int
    """Fetches from one host at the same time."""
    pixels: int
    """Most pixels a file may claim to hold, and most that are decoded at the same time."""
    side: int
    """Larger images are scaled down to this many pixels a side."""
    thumbnail_side: int = 0
    """Of the small image that comes with it, in pixels; 0: none does."""


class Fetching(Protocol):
    """Gets posts their images."""

    def start(self, posts: Sequence[Post]) -> Sequence[Arrival | Future[Arrival]]:
        """Begin to fetch for each of `posts`; an arrival says what went wrong rather than raise."""


class Fetcher:
    """Fetches and decodes many images at a time, from the web, from buckets and from below some folders.

    Args:
        limits: What an image may cost.
        folder: The one that all local paths lie in.
        allowed: What may be fetched besides the public web.
        folders: Where there is no such one: by the files and folders that posts come from, what their paths lie in.
        deaths: Knows the images that processes ended at.
        cached: What was found out about images before; one that all models know is neither decoded nor, where its
            service names its content, fetched.
    """

    def __init__(
        self,
        limits: Limits,
        folder: Path | None,
        allowed: AddressPolicy,
        folders: Mapping[Path, Path] | None = None,
        deaths: PoisonMarks | None = None,
        cached: CachedResults | None = None,
    ) -> None:
        self._cached = cached
        self._limits = limits
        self._folder = folder.resolve() if folder else None
        self._folders = sorted((folders or {}).items(), key=lambda it: len(str(it[0])), reverse=True)
        self._turns: PerHostExecutor[Arrival] = PerHostExecutor(limits.web.concurrency, limits.per_host)
        self._room = WeightedSemaphore(limits.pixels)
        self._deaths = deaths
        self._web = WebFetcher(limits.web, allowed)
        self._buckets = Buckets(allowed, max_bytes=limits.web.bytes, seconds=limits.web.seconds)

    def start(self, posts: Sequence[Post]) -> Sequence[Future[Arrival]]:
        """Begin to fetch for each of `posts`."""
        return [self._turns.submit(_host(post.url), partial(self.fetch, post)) for post in posts]

    def fetch(self, post: Post) -> Arrival:
        """The post with its image, with what is known of it, or with the reason why there is neither."""
        start = time.perf_counter()
        arrival = self._cached_by_source(post) or self._fetched(post)
        return replace(arrival, seconds=time.perf_counter() - start)

    def _fetched(self, post: Post) -> Arrival:
        outcome = Outcome.OK
        start = time.perf_counter()
        try:
            with FETCH_SECONDS.time():
                data = self._read(post.url, self._folder or self._folder_of(post.message.origin))
            FETCH_BYTES.inc(len(data))
            post = replace(post, picture_sha256=sha256(data).hexdigest())
            known = self._cached.of_image(post.picture_sha256) if self._cached else None
            if known:
                return _arrival_of(post, known)
            with DECODE_SECONDS.time():
                image = self._decode(data)
            height, width = image.shape[:2]
            copied = self._cached.of_copy(post.picture_sha256, image) if self._cached else None
            small = thumbnail(image, self._limits.thumbnail_side) if self._limits.thumbnail_side else None
            if copied:
                return Arrival(post, None, thumbnail=small, width=width, height=height, cached=copied)
            if self._cached:
                seconds = time.perf_counter() - start
                self._cached.keep_image(post, CachedResult(CachedImage(width, height, small), seconds=seconds))
            return Arrival(post, image, thumbnail=small, width=width, height=height)
        except Exception as error:
            outcome = outcome_of(error)
            return Arrival(post, replace(Failure.of(STAGE, error), may_pass=self._may_pass(post, error)))
        finally:
            FETCHES.labels(outcome).inc()

    def _cached_by_source(self, post: Post) -> Arrival | None:
        """The post with what is known of its image, where its service says which one it is."""
        if self._cached is None:
            return None
        if post.edited:
            self._cached.forget_edited(post)
        picture_sha256 = self._cached.sha256_of(post.message.content) if post.message.content else ""
        known = self._cached.of_image(picture_sha256, "source") if picture_sha256 else None
        return _arrival_of(replace(post, picture_sha256=picture_sha256), known) if known else None

    def why_not_here(self, post: Post) -> str | None:
        """Why there is no image on this machine where a post says that there is one; nothing is read."""
        try:
            path = self._path(post.url)
            if path is not None:
                _checked_file(path, self._folder or self._folder_of(post.message.origin))
        except FetchError as error:
            return str(error)
        return None

    def close(self) -> None:
        """End its threads when they have done what was begun, and its connections."""
        self._turns.close()
        self._web.close()

    def _may_pass(self, post: Post, error: Exception) -> bool:
        """Whether a try some time later may end otherwise: also where a file is being written just now."""
        if not isinstance(error, FetchError):
            return False
        folder = self._folder or self._folder_of(post.message.origin)
        return error.may_pass or (error.outcome in _OF_HALF_A_FILE and _is_fresh(post.url, folder))

    def _decode(self, data: bytes) -> Pixels:
        pixels, side = self._limits.pixels, self._limits.side
        with self._deaths.noted([key_of(data)]) if self._deaths else nullcontext():
            return decode(data, max_pixels=pixels, max_side=side, room=self._room.acquire)

    def _folder_of(self, origin: str) -> Path | None:
        """The folder of the source that a message is of, the innermost where they are nested."""
        for place, folder in self._folders:
            if origin.startswith(f"file:{place}") and origin[len(f"file:{place}") :][:1] in {"", "/", "@"}:
                return folder
        return None

    def _read(self, url: str, folder: Path | None) -> bytes:
        path = self._path(url)
        if path is not None:
            return self._load(_checked_file(path, folder))
        return (self._buckets if url.lower().startswith(("gs:", "s3:")) else self._web).get(url)

    def _path(self, url: str) -> str | None:
        """The path of a file that an address names; None where it leads to another machine."""
        parts = _split(url)
        if parts is None:
            raise FetchError(Outcome.UNSUPPORTED, "not a URL")
        if parts.scheme in {"http", "https", "gs", "s3"}:
            return None
        if parts.scheme == "file":
            return unquote(parts.path)
        if parts.scheme and "://" in url:
            raise FetchError(Outcome.UNSUPPORTED, f"no way to fetch {parts.scheme}://")
        if parts.scheme in _NEVER_FILES:
            raise FetchError(Outcome.UNSUPPORTED, f"no way to fetch {parts.scheme}:")
        if url.startswith("//"):
            raise FetchError(Outcome.UNSUPPORTED, "no scheme before //: expected https://")
        return url

    def _load(self, path: Path) -> bytes:
        limit = self._limits.web.bytes
        with path.open("rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise FetchError(Outcome.TOO_LARGE, f"more than {limit} bytes")
        return data


def _checked_file(name: str, folder: Path | None) -> Path:
    """The file of this name in a folder; raises `FetchError` where it lies outside, or there is none."""
    if folder is None:
        raise FetchError(
            Outcome.REFUSED, "a local path, and no folder is set where such may lie (MEMEWAX_FETCH_FOLDER)"
        )
    try:
        path = (folder / name).resolve()
        is_file = path.is_file()
    except (OSError, ValueError):  # a name that is too long, or none at all
        raise FetchError(Outcome.NOT_FOUND, "no file can have such a name") from None
    if not path.is_relative_to(folder):
        raise FetchError(Outcome.REFUSED, "a path outside the folder of the source")
    if not is_file:
        hint = "; an address of the web begins with https://" if _HOST.match(name) is not None else ""
        raise FetchError(Outcome.NOT_FOUND, f"no such file{hint}")
    return path


class FakeFetcher:
    """One black pixel for every post, at once: to measure the flow itself."""

    _IMAGE: Final = np.zeros((1, 1, 3), np.uint8)

    def start(self, posts: Sequence[Post]) -> Sequence[Arrival]:
        """All of them, done."""
        return [Arrival(post, self._IMAGE) for post in posts]


def _arrival_of(post: Post, known: Mapping[str, CachedResult]) -> Arrival:
    facts: CachedImage = known[IMAGE].value
    return Arrival(post, None, thumbnail=facts.thumbnail, width=facts.width, height=facts.height, cached=known)


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        return None


def _host(url: str) -> str:
    """Whose turns a fetch takes; empty for what is on no other machine."""
    parts = _split(url)
    return (parts.hostname or "") if parts else ""


def _is_fresh(url: str, folder: Path | None) -> bool:
    """Whether a URL names a file in `folder` that changed just now."""
    parts = _split(url)
    if folder is None or parts is None or (parts.scheme != "file" and "://" in url):
        return False
    try:
        changed = (folder / (unquote(parts.path) if parts.scheme == "file" else url)).stat().st_mtime
    except (OSError, ValueError):
        return False
    return abs(time.time() - changed) < _FRESH_SECONDS
