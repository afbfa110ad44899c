"""Fetch and decode images, once each, before the dataflow branches."""

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
"""A file changed more recently may still be incomplete."""

_NEVER_FILES: Final = frozenset({"about", "blob", "data", "ftp", "javascript", "mailto", "urn"})
"""Schemes of URLs without `//`; anything else with a colon may be a file name."""
_HOST: Final = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.(?!png|jpe?g|gif|webp|avif)[A-Za-z]{2,24}(:[0-9]+)?/")
"""Matches a path that begins with a host name."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of fetching and decoding one image."""

    web: WebLimits
    per_host: int
    """Maximum number of concurrent fetches from one host."""
    pixels: int
    """Maximum number of pixels that a file may declare, and that are decoded concurrently."""
    side: int
    """Larger images are scaled down to this width and height, in pixels."""
    thumbnail_side: int = 0
    """Width and height of thumbnails, in pixels; 0: no thumbnails."""


class Fetching(Protocol):
    """Fetches the images of posts."""

    def start(self, posts: Sequence[Post]) -> Sequence[Arrival | Future[Arrival]]:
        """Start to fetch the image of each post; an arrival contains the failure instead of raising it."""


class Fetcher:
    """Fetches and decodes images concurrently, from the web, buckets and local folders.

    Args:
        limits: Limits per image.
        folder: Folder of all local paths.
        allowed: SSRF guard of web addresses and buckets.
        folders: If `folder` is None: folder of local paths, by the file or folder that posts come from.
        deaths: Knows images that crashed a process (poison).
        cached: Earlier results. An image that all models know is not decoded, and not even fetched if its service
            identifies its content.
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
        self._executor: PerHostExecutor[Arrival] = PerHostExecutor(limits.web.concurrency, limits.per_host)
        self._room = WeightedSemaphore(limits.pixels)
        self._deaths = deaths
        self._web = WebFetcher(limits.web, allowed)
        self._buckets = Buckets(allowed, max_bytes=limits.web.bytes, seconds=limits.web.seconds)

    def start(self, posts: Sequence[Post]) -> Sequence[Future[Arrival]]:
        """Start to fetch the image of each post."""
        return [self._executor.submit(_host(post.url), partial(self.fetch, post)) for post in posts]

    def fetch(self, post: Post) -> Arrival:
        """Return the post with its image, with cached results, or with the failure."""
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
        """Return the post with cached results if its service identifies the image's content, else None."""
        if self._cached is None:
            return None
        if post.edited:
            self._cached.forget_edited(post)
        picture_sha256 = self._cached.sha256_of(post.message.content) if post.message.content else ""
        known = self._cached.of_image(picture_sha256, "source") if picture_sha256 else None
        return _arrival_of(replace(post, picture_sha256=picture_sha256), known) if known else None

    def why_not_here(self, post: Post) -> str | None:
        """Return why a post's local file cannot be read, or None if it exists or is not local; reads no file."""
        try:
            path = self._path(post.url)
            if path is not None:
                _checked_file(path, self._folder or self._folder_of(post.message.origin))
        except FetchError as error:
            return str(error)
        return None

    def close(self) -> None:
        """Wait for running fetches, then end the threads and close the connections."""
        self._executor.close()
        self._web.close()

    def _may_pass(self, post: Post, error: Exception) -> bool:
        """Check whether a later retry may succeed, for example since the file is still being written."""
        if not isinstance(error, FetchError):
            return False
        folder = self._folder or self._folder_of(post.message.origin)
        return error.may_pass or (error.outcome in _OF_HALF_A_FILE and _is_fresh(post.url, folder))

    def _decode(self, data: bytes) -> Pixels:
        pixels, side = self._limits.pixels, self._limits.side
        with self._deaths.in_progress([key_of(data)]) if self._deaths else nullcontext():
            return decode(data, max_pixels=pixels, max_side=side, room=self._room.acquire)

    def _folder_of(self, origin: str) -> Path | None:
        """Return the folder of a message's source; the innermost one if they are nested."""
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
        """Return the path of a local file, or None if the URL leads to another machine; raises `FetchError`."""
        parts = _split(url)
        if parts is None:
            raise FetchError(Outcome.UNSUPPORTED, "not a URL")
        if parts.scheme in {"http", "https", "gs", "s3"}:
            return None
        if parts.scheme == "file":
            return unquote(parts.path)
        if parts.scheme and "://" in url:
            raise FetchError(Outcome.UNSUPPORTED, f"cannot fetch {parts.scheme}:// URLs")
        if parts.scheme in _NEVER_FILES:
            raise FetchError(Outcome.UNSUPPORTED, f"cannot fetch {parts.scheme}: URLs")
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
    """Return the path of a file in a folder; raises `FetchError` if it lies outside or does not exist."""
    if folder is None:
        raise FetchError(Outcome.REFUSED, "a local path, but no folder for local files is set (MEMEWAX_FETCH_FOLDER)")
    try:
        path = (folder / name).resolve()
        is_file = path.is_file()
    except (OSError, ValueError):  # too long, or with a null byte
        raise FetchError(Outcome.NOT_FOUND, "not a valid file name") from None
    if not path.is_relative_to(folder):
        raise FetchError(Outcome.REFUSED, "a path outside the folder of the source")
    if not is_file:
        hint = "; a web address begins with https://" if _HOST.match(name) is not None else ""
        raise FetchError(Outcome.NOT_FOUND, f"no such file{hint}")
    return path


class FakeFetcher:
    """Gives every post an image of one black pixel, to measure the dataflow itself."""

    _IMAGE: Final = np.zeros((1, 1, 3), np.uint8)

    def start(self, posts: Sequence[Post]) -> Sequence[Arrival]:
        """Return finished arrivals for all posts."""
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
    """Return the host of a URL, for the limit per host; "" for local files."""
    parts = _split(url)
    return (parts.hostname or "") if parts else ""


def _is_fresh(url: str, folder: Path | None) -> bool:
    """Check whether a URL names a file in `folder` that changed recently."""
    parts = _split(url)
    if folder is None or parts is None or (parts.scheme != "file" and "://" in url):
        return False
    try:
        changed = (folder / (unquote(parts.path) if parts.scheme == "file" else url)).stat().st_mtime
    except (OSError, ValueError):
        return False
    return abs(time.time() - changed) < _FRESH_SECONDS
