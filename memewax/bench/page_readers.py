"""A running `memewax page`, and concurrent readers that request its views."""

import http.client
import io
import re
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import numpy as np
import orjson
import psutil
from PIL import Image

from core.errors import WorldError
from core.records import Pixels
from models.trial_images import trial_images

_ADDRESS: Final = re.compile(r" at http://([\d.]+):(\d+)/")
_SAMPLE_SECONDS: Final = 0.25
_TIMEOUT_SECONDS: Final = 120
_SAMPLE: Final = 60
_BY_IMAGE: Final = "/api/v1/search?k=40"
_IMAGE_SIDE: Final = 1080
_IMAGE_SECONDS: Final = 1.0
"""Shortest interval between searches by image of one client, which the page enforces by a rate limit."""

Latencies = dict[str, list[float]]
"""Latency of each answer in milliseconds, by view."""


@dataclass(slots=True)
class RunningPage:
    """A process of `memewax page`."""

    host: str
    port: int
    seconds: float
    """Start-up time, until it listens."""
    process: psutil.Process
    most_bytes: int = 0
    """Peak resident memory."""
    ends: threading.Event = field(default_factory=threading.Event)

    def connected(self) -> http.client.HTTPConnection:
        """Return a new connection to the page."""
        return http.client.HTTPConnection(self.host, self.port, timeout=_TIMEOUT_SECONDS)

    def watch(self) -> None:
        """Sample the memory until `ends` is set."""
        while not self.ends.wait(_SAMPLE_SECONDS):
            with suppress(psutil.Error):
                self.most_bytes = max(self.most_bytes, self.process.memory_info().rss)


@contextmanager
def running_page(store: Path) -> Iterator[RunningPage]:
    """Run the page of a store during the block; raises `WorldError` if it does not start."""
    command = [sys.executable, "-m", "memewax", "page", "--store", str(store), "--port", "0", "--no-open"]
    begun = time.perf_counter()
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        try:
            line = process.stderr.readline()
            if not (found := _ADDRESS.search(line)):
                raise WorldError(f"the page did not start: {line.strip()}")
            seconds = time.perf_counter() - begun
            page = RunningPage(found[1], int(found[2]), seconds, psutil.Process(process.pid))
            sampler = threading.Thread(target=page.watch, daemon=True)
            sampler.start()
            yield page
            page.ends.set()
            sampler.join()
        finally:
            process.terminate()


def cpu_seconds(page: RunningPage) -> dict[str, float]:
    """Return the CPU seconds of the page, the writer, and the readers (this process), which should use little."""
    readers = psutil.Process()
    writers = [it for it in readers.children(recursive=True) if it.pid != page.process.pid]
    groups = {"page": [page.process], "writer": writers, "readers": [readers]}
    return {name: sum(it.cpu_times().user + it.cpu_times().system for it in group) for name, group in groups.items()}


@dataclass(slots=True)
class PageRequests:
    """Request paths by view, drawn from what the store holds."""

    paths: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, page: RunningPage, captions: Sequence[str], seed: int) -> "PageRequests":
        """Draw clusters, posts, thumbnails and search words."""
        random = np.random.default_rng(seed)
        connection = page.connected()
        clusters = answer(connection, f"/api/v1/clusters?limit={_SAMPLE}")["clusters"]
        total = answer(connection, "/api/v1/stats")["posts"]
        posts = answer(connection, f"/api/v1/posts?limit={_SAMPLE}&offset={max(0, total // 2 - _SAMPLE)}")["posts"]
        connection.close()
        words = [caption.split() for caption in random.permutation(captions)[: 4 * _SAMPLE]]
        queries = [" ".join(it[: 1 + place % 5]) for place, it in enumerate(words)]
        ids = [quote(it["global_id"], safe="") for it in posts]
        paths = {
            "clusters": ["/", "/?sort=rising", "/?sort=new", "/?sort=rate", "/?source=reddit", "/?offset=60"],
            "cluster": [f"/clusters/{it['cluster']}" for it in clusters],
            "posts": ["/posts", "/posts?source=bluesky", "/posts?alone=1", "/posts?author=author42"],
            "post": [f"/posts/{it}" for it in ids],
            "now": ["/now"],
            "words": [f"/search?{urlencode({'q': it})}" for it in queries],
            "thumbnail": [it["thumbnail"] for it in (*posts, *clusters) if it.get("thumbnail")],
            "stats": ["/api/v1/stats"],
        }
        return cls({view: some for view, some in paths.items() if some})


def measure_image_searches(page: RunningPage, seconds: float) -> list[float]:
    """Return the latency in milliseconds of each search by image, by one reader for `seconds`.

    The first search is warm-up and is left out. Raises `WorldError` if one fails.
    """
    images = [_jpeg(it.pixels) for it in trial_images()]
    connection = page.connected()
    latencies: list[float] = []
    end = time.monotonic() + seconds
    while len(latencies) < 2 or time.monotonic() < end:
        start = time.perf_counter()
        found = ask(connection, _BY_IMAGE, images[len(latencies) % len(images)])
        latencies.append(1000 * (time.perf_counter() - start))
        if error := orjson.loads(found)["error"]:
            raise WorldError(f"a search by image failed: {error}")
        time.sleep(max(0.0, _IMAGE_SECONDS - latencies[-1] / 1000))
    connection.close()
    return latencies[1:]


def _jpeg(pixels: Pixels) -> bytes:
    """Encode an image as JPEG, at the size of typical posted images."""
    image = Image.fromarray(pixels)
    scale = _IMAGE_SIDE / max(image.size)
    out = io.BytesIO()
    image.resize((round(scale * image.width), round(scale * image.height))).save(out, "JPEG", quality=90)
    return out.getvalue()


def answer(connection: http.client.HTTPConnection, path: str) -> Any:
    """Request a path and return its parsed JSON."""
    return orjson.loads(ask(connection, path))


def ask(connection: http.client.HTTPConnection, path: str, sent: bytes | None = None) -> bytes:
    """GET a path, or POST the JPEG `sent` to it, and return the body; raises `WorldError` unless the status is 200."""
    headers = {"Content-Type": "image/jpeg"} if sent else {}
    connection.request("POST" if sent else "GET", path, sent, headers)
    response = connection.getresponse()
    body = response.read()
    if response.status != http.client.OK:
        raise WorldError(f"{path} failed with HTTP {response.status}: {body[:200].decode(errors='replace')}")
    return body


def measure_readers(page: RunningPage, requests: PageRequests, readers: int, seconds: float, pause: float) -> Latencies:
    """Return the latency of each answer by view, with `readers` concurrent readers for `seconds`.

    Each reader requests all views in random order, over and over, and pauses `pause` seconds on average after each
    answer. Raises `WorldError` if a request fails.
    """
    latencies: defaultdict[str, list[float]] = defaultdict(list)
    errors: list[Exception] = []
    end = time.monotonic() + seconds

    def read(number: int) -> None:
        random = np.random.default_rng(number)
        connection = page.connected()
        try:
            views = list(requests.paths)
            time.sleep(random.random() * pause)  # readers do not start all at once
            while time.monotonic() < end and not errors:
                for view in map(str, random.permutation(views)):
                    path = str(random.choice(requests.paths[view]))
                    start = time.perf_counter()
                    ask(connection, path)
                    latencies[view].append(1000 * (time.perf_counter() - start))
                    time.sleep(random.uniform(pause / 2, 3 * pause / 2))
        except (OSError, http.client.HTTPException, WorldError) as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=read, args=(number,), daemon=True) for number in range(readers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise WorldError(f"a request of a reader failed: {errors[0]}")
    return dict(latencies)
