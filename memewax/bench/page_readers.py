"""A page that runs, and readers who look at its views, one at a time or many at once."""

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

_ADDRESS: Final = re.compile(r"is shown at http://([\d.]+):(\d+)/")
_LOOK_SECONDS: Final = 0.25
_PATIENCE_SECONDS: Final = 120
_SAMPLE: Final = 60
_BY_IMAGE: Final = "/api/v1/search?k=40"
_IMAGE_SIDE: Final = 1080
_IMAGE_SECONDS: Final = 1.0
"""A client may search by an image so often."""

Taken = dict[str, list[float]]
"""Milliseconds of each answer, by view."""


@dataclass(slots=True)
class RunningPage:
    """`memewax page` as a process."""

    host: str
    port: int
    seconds: float
    """From its start until it listens."""
    process: psutil.Process
    most_bytes: int = 0
    """Memory that it had at most."""
    ends: threading.Event = field(default_factory=threading.Event)

    def connected(self) -> http.client.HTTPConnection:
        """A connection of a reader."""
        return http.client.HTTPConnection(self.host, self.port, timeout=_PATIENCE_SECONDS)

    def watch(self) -> None:
        """Note the memory until it ends."""
        while not self.ends.wait(_LOOK_SECONDS):
            with suppress(psutil.Error):
                self.most_bytes = max(self.most_bytes, self.process.memory_info().rss)


@contextmanager
def running(store: Path) -> Iterator[RunningPage]:
    """The page over a store, ended with the block; raises `WorldError` where it does not start."""
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
            watching = threading.Thread(target=page.watch, daemon=True)
            watching.start()
            yield page
            page.ends.set()
            watching.join()
        finally:
            process.terminate()


def cpu_seconds(page: RunningPage) -> dict[str, float]:
    """What each has used of a core: the page, who writes the store, and the readers, who should use little of it."""
    own = psutil.Process()
    writers = [it for it in own.children(recursive=True) if it.pid != page.process.pid]
    each = {"page": [page.process], "writer": writers, "readers": [own]}
    return {name: sum(it.cpu_times().user + it.cpu_times().system for it in those) for name, those in each.items()}


@dataclass(slots=True)
class Looks:
    """What is asked for: addresses by view, drawn from what the store holds."""

    paths: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, page: RunningPage, captions: Sequence[str], seed: int) -> "Looks":
        """Draw clusters, posts, images and words."""
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
        return cls({view: those for view, those in paths.items() if those})


def searched_by_images(page: RunningPage, seconds: float) -> list[float]:
    """Milliseconds of each search by an image, while one reader asks for so long, but for the first.

    Raises `WorldError` where one is refused.
    """
    images = [_jpeg(it.pixels) for it in trial_images()]
    connection = page.connected()
    taken: list[float] = []
    end = time.monotonic() + seconds
    while len(taken) < 2 or time.monotonic() < end:
        start = time.perf_counter()
        found = ask(connection, _BY_IMAGE, images[len(taken) % len(images)])
        taken.append(1000 * (time.perf_counter() - start))
        if error := orjson.loads(found)["error"]:
            raise WorldError(f"a search by an image was answered with: {error}")
        time.sleep(max(0.0, _IMAGE_SECONDS - taken[-1] / 1000))
    connection.close()
    return taken[1:]


def _jpeg(pixels: Pixels) -> bytes:
    """An image as large as those that people post."""
    image = Image.fromarray(pixels)
    scale = _IMAGE_SIDE / max(image.size)
    out = io.BytesIO()
    image.resize((round(scale * image.width), round(scale * image.height))).save(out, "JPEG", quality=90)
    return out.getvalue()


def answer(connection: http.client.HTTPConnection, path: str) -> Any:
    """The JSON that a path answers with."""
    return orjson.loads(ask(connection, path))


def ask(connection: http.client.HTTPConnection, path: str, sent: bytes | None = None) -> bytes:
    """What a path answers with, or what it answers to an image; raises `WorldError` where that is an error."""
    headers = {"Content-Type": "image/jpeg"} if sent else {}
    connection.request("POST" if sent else "GET", path, sent, headers)
    got = connection.getresponse()
    body = got.read()
    if got.status != http.client.OK:
        raise WorldError(f"{path} was answered with {got.status}: {body[:200].decode(errors='replace')}")
    return body


def asked(page: RunningPage, looks: Looks, readers: int, seconds: float, pause: float) -> Taken:
    """Milliseconds of each answer by view, while so many readers look around for so long.

    Each waits about `pause` seconds after an answer, and ends with all views. Raises `WorldError` where one is refused.
    """
    taken: defaultdict[str, list[float]] = defaultdict(list)
    errors: list[Exception] = []
    end = time.monotonic() + seconds

    def read(number: int) -> None:
        random = np.random.default_rng(number)
        connection = page.connected()
        try:
            views = list(looks.paths)
            time.sleep(random.random() * pause)  # readers do not come all at once
            while time.monotonic() < end and not errors:
                for view in map(str, random.permutation(views)):
                    path = str(random.choice(looks.paths[view]))
                    start = time.perf_counter()
                    ask(connection, path)
                    taken[view].append(1000 * (time.perf_counter() - start))
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
        raise WorldError(f"a reader was not answered: {errors[0]}")
    return dict(taken)
