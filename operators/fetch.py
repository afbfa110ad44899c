"""Pictures: fetched once, decoded once, before the fork."""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

import httpx
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from memewax import __version__
from memewax.errors import BadRecordError
from memewax.records import Arrival, Failed, Pixels, Post
from memewax.telemetry import FETCH_BYTES, FETCH_SECONDS
from operators.deadlines import Deadlines

STAGE: Final = "fetch"
_MAX_REDIRECTS: Final = 5
_SCALABLE: Final = frozenset({"L", "LA", "RGB", "RGBA", "CMYK", "YCbCr"})
"""Pillow's modes that can be scaled down well as they are, which takes less memory than colours of all pixels."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a picture may cost."""

    concurrency: int
    """Fetches at the same time."""
    bytes: int
    """Largest file."""
    seconds: float
    """From connecting to the last byte."""
    pixels: int
    """Most pixels a file may claim to hold."""
    side: int
    """Larger pictures are scaled down to this many pixels a side."""


class Fetching(Protocol):
    """Gets posts their pictures."""

    def start(self, posts: Sequence[Post]) -> Sequence[Arrival | Future[Arrival]]:
        """Begin to fetch for each of `posts`; an arrival says what went wrong rather than raise."""


class Fetcher:
    """Fetches and decodes many pictures at a time, from `http(s)` and from below one folder."""

    def __init__(self, limits: Limits, folder: Path | None) -> None:
        self._limits = limits
        self._folder = folder.resolve() if folder else None
        self._pool = ThreadPoolExecutor(limits.concurrency, thread_name_prefix="fetch")
        self._web = httpx.Client(
            follow_redirects=True,
            max_redirects=_MAX_REDIRECTS,
            timeout=limits.seconds,
            limits=httpx.Limits(max_connections=limits.concurrency),
            headers={"user-agent": f"memewax/{__version__}"},
        )
        self._deadlines = Deadlines(self._web)

    def start(self, posts: Sequence[Post]) -> Sequence[Future[Arrival]]:
        """Begin to fetch for each of `posts`."""
        return [self._pool.submit(self.fetch, post) for post in posts]

    def fetch(self, post: Post) -> Arrival:
        """The post with its picture, or with the reason why there is none."""
        start = time.perf_counter()
        picture: Pixels | Failed
        try:
            data = self._read(post.url)
            FETCH_BYTES.inc(len(data))
            picture = decode(data, max_pixels=self._limits.pixels, max_side=self._limits.side)
        except Exception as error:
            picture = Failed.of(STAGE, error)
        seconds = time.perf_counter() - start
        FETCH_SECONDS.observe(seconds)
        return Arrival(post, picture, seconds)

    def _read(self, url: str) -> bytes:
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise BadRecordError(f"not a URL: {error}") from None
        if parts.scheme in {"http", "https"}:
            return self._download(url)
        if parts.scheme == "file":
            return self._load(unquote(parts.path))
        if parts.scheme and "://" in url:
            raise BadRecordError(f"no way to fetch {parts.scheme}://")
        return self._load(url)

    def _download(self, url: str) -> bytes:
        data = bytearray()
        try:
            with self._deadlines.within(self._limits.seconds), self._web.stream("GET", url) as response:
                if not response.is_success:
                    raise BadRecordError(f"HTTP {response.status_code}")
                for chunk in response.iter_bytes():
                    data += chunk
                    if len(data) > self._limits.bytes:
                        raise BadRecordError(f"more than {self._limits.bytes} bytes")
        except httpx.TimeoutException:
            raise BadRecordError(f"not there after {self._limits.seconds:g} s") from None
        return bytes(data)

    def _load(self, name: str) -> bytes:
        if self._folder is None:
            raise BadRecordError("a local path, and no folder is set where such may lie (MEMEWAX_FETCH_FOLDER)")
        path = (self._folder / name).resolve()
        if not path.is_relative_to(self._folder):
            raise BadRecordError("a path outside the folder of the source")
        if not path.is_file():
            raise BadRecordError("no such file")
        with path.open("rb") as file:
            data = file.read(self._limits.bytes + 1)
        if len(data) > self._limits.bytes:
            raise BadRecordError(f"more than {self._limits.bytes} bytes")
        return data


class StandInFetcher:
    """One black pixel for every post, at once: to measure the flow itself."""

    _PICTURE: Final = np.zeros((1, 1, 3), np.uint8)

    def start(self, posts: Sequence[Post]) -> Sequence[Arrival]:
        """All of them, done."""
        return [Arrival(post, self._PICTURE) for post in posts]


def decode(data: bytes, *, max_pixels: int, max_side: int) -> Pixels:
    """Decode any picture that Pillow can open: first frame, upright, RGB over white, at most `max_side` a side.

    Returns:
        uint8 array of shape (height, width, 3).

    Raises:
        BadRecordError: where the bytes are no picture, or one too large.
        Exception: of many kinds, Pillow's own, where the picture is broken.
    """
    if not data:
        raise BadRecordError("no bytes")
    with _opened(data) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise BadRecordError(f"{width} by {height} pixels; at most {max_pixels} in all are decoded")
        image.draft("RGB", (max_side, max_side))  # lets a JPEG be decoded at a half or less
        image.load()
        upright = ImageOps.exif_transpose(image)
        if upright.mode not in _SCALABLE:
            upright = _rgb(upright)
        upright.thumbnail((max_side, max_side), Image.Resampling.LANCZOS, reducing_gap=2.0)
        return np.asarray(_rgb(upright))


def _opened(data: bytes) -> Image.Image:
    try:
        return Image.open(BytesIO(data))
    except UnidentifiedImageError:
        raise BadRecordError(f"no picture that can be read: it begins with {data[:16]!r}") from None
    except Image.DecompressionBombError:
        raise BadRecordError("far too many pixels to be decoded") from None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):  # 16 and 32 bits a pixel: to 8
        values = np.asarray(image, np.float32)
        top = 65535.0 if image.mode.startswith("I") and values.max(initial=0.0) > 255 else max(1.0, float(values.max()))
        return Image.fromarray((np.clip(values / top, 0, 1) * 255).astype(np.uint8)).convert("RGB")
    if image.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")
