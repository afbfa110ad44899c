"""Images from the web and from a folder: whatever happens, there is an arrival."""

import gzip
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from PIL import Image

from connectors.caching.cached_results import Asked, CachedResults
from connectors.caching.result_cache import ResultCache
from connectors.fetching import fetch
from connectors.fetching.address_policy import AddressPolicy
from connectors.fetching.fetch import FakeFetcher, Fetcher, Limits
from connectors.fetching.web import WebLimits
from connectors.sources.parse import parsed
from core.errors import SettingsError
from core.records import Arrival, Failure, Message, Post
from dataflows.all_settings import load_settings
from operators.posts_input import fetching
from tests.brokers import unused_address
from tests.factories import post

WEB = WebLimits(concurrency=4, bytes=100_000, seconds=9.0, connect_seconds=9.0, read_seconds=9.0, tries=1)
LIMITS = Limits(web=WEB, per_host=4, pixels=1_000_000, side=512)
HERE = AddressPolicy.of(["127.0.0.0/8"])
RED = (254, 0, 0)


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    out = BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


BOMB = gzip.compress(bytes(50_000_000))
IMAGE = encoded(Image.new("RGB", (4, 3), RED))


# The web


class Site(BaseHTTPRequestHandler):
    """Behaves as its path says."""

    over = threading.Event()
    """Set when whoever is slow may end."""

    def do_GET(self) -> None:
        with suppress(OSError):  # who asked has gone
            getattr(self, self.path.strip("/").replace("/", "_"), self.missing)()

    def log_message(self, *args: object) -> None:
        """Not on stderr."""

    def answer(self, body: bytes, code: int = 200, **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def image(self) -> None:
        self.answer(IMAGE)

    def missing(self) -> None:
        self.answer(IMAGE, 404)

    def page(self) -> None:
        self.answer(b"<!doctype html><title>Gone</title>", Content_Type="image/png")

    def nothing(self) -> None:
        self.answer(b"")

    def loop(self) -> None:
        self.answer(b"", 302, Location="/loop")

    def moved(self) -> None:
        self.answer(b"", 301, Location="/image")

    def elsewhere(self) -> None:
        self.answer(b"", 302, Location="file:///etc/passwd")

    def large(self) -> None:
        self.answer(b"x" * (WEB.bytes + 1))

    def bomb(self) -> None:
        self.answer(BOMB, Content_Encoding="gzip")

    def short(self) -> None:
        self.answer(IMAGE[:20], Content_Length=str(len(IMAGE)))

    def slow_body(self) -> None:
        self.answer(b"", Content_Length="1000")
        self.trickle(b"x")

    def slow_head(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        self.trickle(b"x")

    def silent(self) -> None:
        self.over.wait(60)

    def slow_loop(self) -> None:
        self.over.wait(0.1)
        self.answer(b"", 302, Location="/slow/loop")

    def trickle(self, byte: bytes) -> None:
        while not self.over.wait(0.05):
            self.wfile.write(byte)
            self.wfile.flush()


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    Site.over.set()
    server.shutdown()
    thread.join()


@pytest.fixture(scope="module")
def web() -> Fetcher:
    return Fetcher(LIMITS, None, HERE)


def failure(arrived: Arrival) -> Failure:
    assert isinstance(arrived.image, Failure), arrived.image
    assert arrived.image.stage == "fetch"
    return arrived.image


def test_an_image_comes_over_http(web: Fetcher, site: str) -> None:
    arrived = web.fetch(post(url=f"{site}/image"))
    np.testing.assert_array_equal(arrived.image, np.full((3, 4, 3), RED, np.uint8))
    assert 0 < arrived.seconds < 5


def test_a_redirect_is_followed(web: Fetcher, site: str) -> None:
    assert isinstance(web.fetch(post(url=f"{site}/moved")).image, np.ndarray)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing", "HTTP 404"),
        ("page", "a web page or other markup"),
        ("nothing", "no bytes"),
        ("loop", "redirects"),
        ("elsewhere", "file://"),
        ("large", "more than 100000 bytes"),
        ("bomb", "more than 100000 bytes"),
        ("short", "closed"),
    ],
)
def test_what_the_web_does_to_us_is_a_reason(web: Fetcher, site: str, path: str, reason: str) -> None:
    assert reason in failure(web.fetch(post(url=f"{site}/{path}"))).reason


@pytest.mark.parametrize("path", ["slow/body", "slow/head", "slow/loop", "silent"])
def test_a_fetch_ends_when_its_time_is_over(site: str, path: str) -> None:
    hasty = Fetcher(replace(LIMITS, web=replace(WEB, seconds=0.3)), None, HERE)
    told = failure(hasty.fetch(post(url=f"{site}/{path}")))  # the server goes on until the tests are over
    assert told.reason == "incomplete after 0.3 s"


def test_nobody_there_is_a_reason(web: Fetcher) -> None:
    assert "refused" in failure(web.fetch(post(url=f"http://{unused_address()}/1.png"))).reason


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http://[",
        "http://a b/",
        "https://127.0.0.1:99999/",
        "http://xn--/",
        "http://\x00/",
        "http://" + "a" * 70 + ".example/",
        "gs://bucket/blob",
        "data:image/png;base64,AAAA",
        "ftp://here/1.png",
        "\x00",
        " ",
        "?",
        "#",
        ".",
        "a" * 5000,
        "1.png\n",
        "file://",
        "file:///\x00",
    ],
)
@pytest.mark.parametrize("kind", ["web", "disk"])
def test_no_url_is_too_strange_for_a_reason(url: str, kind: str, request: pytest.FixtureRequest) -> None:
    fetcher: Fetcher = request.getfixturevalue(kind)
    assert failure(fetcher.fetch(post(url=url))).reason


def test_what_cannot_be_fetched_says_so(web: Fetcher) -> None:
    told = failure(web.fetch(post(url="ftp://here/1.png")))
    assert told == Failure("fetch", "FetchError", "cannot fetch ftp:// URLs")


def test_all_posts_arrive_in_their_order(web: Fetcher, site: str) -> None:
    posts = [post(str(number), url=f"{site}/{name}") for number, name in enumerate(["image", "missing"] * 5)]
    arrived = [future.result() for future in web.start(posts)]
    assert [it.post.global_id for it in arrived] == [it.global_id for it in posts]
    assert [isinstance(it.image, Failure) for it in arrived] == [False, True] * 5


def test_the_stand_in_answers_at_once_for_each() -> None:
    posts = [post("1"), post("2")]
    assert [it.post for it in FakeFetcher().start(posts)] == posts


# The folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outside = tmp_path_factory.mktemp("outside")
    inside = outside / "inside"
    inside.mkdir()
    (inside / "a b#%41.png").write_bytes(IMAGE)
    (inside / "1.png").write_bytes(IMAGE)
    (inside / "large.png").write_bytes(IMAGE + bytes(WEB.bytes))
    (inside / "wide.png").write_bytes(encoded(Image.new("RGB", (80, 40))))
    (outside / "secret.png").write_bytes(IMAGE)
    (inside / "link.png").symlink_to(outside / "secret.png")
    (inside / "own link.png").symlink_to("1.png")
    return inside


@pytest.fixture(scope="module")
def disk(folder: Path) -> Fetcher:
    return Fetcher(LIMITS, folder, HERE)


@pytest.mark.parametrize("url", ["1.png", "./1.png", "../inside/1.png", "a b#%41.png", "own link.png"])
def test_a_relative_path_is_below_the_folder(disk: Fetcher, url: str) -> None:
    assert isinstance(disk.fetch(post(url=url)).image, np.ndarray)


@pytest.mark.parametrize("url", ["file://{}/a%20b%23%2541.png", "{}/1.png"])
def test_an_absolute_path_may_lie_in_the_folder(disk: Fetcher, folder: Path, url: str) -> None:
    assert isinstance(disk.fetch(post(url=url.format(folder))).image, np.ndarray)


@pytest.mark.parametrize(
    "url",
    [
        "../secret.png",
        "{}/../secret.png",
        "file://{}/../secret.png",
        "file://{}/%2E%2E/secret.png",
        "file:../secret.png",
        "/etc/passwd",
        "link.png",
    ],
)
def test_a_path_may_not_leave_the_folder(disk: Fetcher, folder: Path, url: str) -> None:
    assert failure(disk.fetch(post(url=url.format(folder)))).reason == "a path outside the folder of the source"


@pytest.mark.parametrize("url", ["gone.png", ".", "1.png/2.png"])
def test_a_file_that_is_not_there_is_a_reason(disk: Fetcher, url: str) -> None:
    assert failure(disk.fetch(post(url=url))).reason == "no such file"


def test_a_file_that_is_too_large_is_a_reason(disk: Fetcher) -> None:
    assert failure(disk.fetch(post(url="large.png"))).reason == "more than 100000 bytes"


def test_without_a_folder_no_path_is_read(web: Fetcher, folder: Path) -> None:
    assert "MEMEWAX_FETCH_FOLDER" in failure(web.fetch(post(url=str(folder / "1.png")))).reason


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "TIFF"])
def test_half_an_image_is_a_reason(disk: Fetcher, folder: Path, form: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), form)
    (folder / f"half.{form}").write_bytes(data[: len(data) // 2])
    assert failure(disk.fetch(post(url=f"half.{form}"))).reason


def test_limits_are_those_of_the_settings(folder: Path) -> None:
    small = Fetcher(replace(LIMITS, side=20), folder, HERE).fetch(post(url="wide.png")).image
    assert isinstance(small, np.ndarray)
    assert small.shape == (10, 20, 3)
    assert "pixels" in failure(Fetcher(replace(LIMITS, pixels=100), folder, HERE).fetch(post(url="wide.png"))).reason


# Settings


def test_what_may_be_reached_besides_is_a_setting(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"{site}/image"
    assert "MEMEWAX_FETCH_ALLOW" in failure(next(iter(_started(url)))).reason
    monkeypatch.setenv("MEMEWAX_FETCH_ALLOW", "images.internal, 127.0.0.0/8")
    assert isinstance(next(iter(_started(url))).image, np.ndarray)


def test_a_setting_that_is_no_network_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMEWAX_FETCH_ALLOW", "10.0.0.1/8")
    with pytest.raises(SettingsError, match="MEMEWAX_FETCH_ALLOW"):
        fetching(load_settings())


def _started(url: str) -> Iterator[Arrival]:
    for item in fetching(load_settings(source="posts.jsonl")).start([post(url=url)]):
        yield item if isinstance(item, Arrival) else item.result()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("data:image/png;base64," + "iVBORw0KGgo" * 500, "cannot fetch data: URLs"),
        ("mailto:me@example.org", "cannot fetch mailto: URLs"),
        ("//host.example/x.png", "no scheme before //: expected https://"),
        ("host.example/x.png", "no such file; a web address begins with https://"),
        ("images/x.png", "no such file"),
        ("x" * 5000, "not a valid file name"),
        ("a\0b", "not a valid file name"),
        (".env", "not a supported image: expected PNG, JPEG, GIF, WebP, AVIF, BMP, TIFF, JPEG 2000 or PPM"),
    ],
)
def test_a_reason_says_what_is_wrong_and_nothing_of_this_machine(tmp_path: Path, url: str, reason: str) -> None:
    (tmp_path / ".env").write_text("PASSWORD=hunter2")
    fetcher = Fetcher(LIMITS, tmp_path, HERE)
    image = fetcher.fetch(post(url=url)).image
    fetcher.close()
    assert isinstance(image, Failure)
    assert image.reason == reason


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize(("age", "may_pass"), [(0, True), (3600, False)])
def test_half_a_file_that_changed_just_now_may_yet_be_whole(
    tmp_path: Path, age: int, may_pass: bool, many: bool
) -> None:
    (tmp_path / "half.png").write_bytes(IMAGE[: len(IMAGE) // 2])
    changed = time.time() - age
    os.utime(tmp_path / "half.png", (changed, changed))
    source = tmp_path / "posts.jsonl"
    folder, folders = (None, {source: tmp_path}) if many else (tmp_path, None)
    fetcher = Fetcher(LIMITS, folder, HERE, folders)
    made = post(url="half.png")
    failed = fetcher.fetch(replace(made, message=replace(made.message, origin=f"file:{source}@0"))).image
    fetcher.close()
    assert isinstance(failed, Failure)
    assert failed.reason.startswith("a broken PNG")
    assert failed.may_pass == may_pass


# What comes with it


@pytest.mark.parametrize("side", [0, 32])
def test_it_says_which_file_it_was_and_brings_a_small_image_where_one_is_wanted(tmp_path: Path, side: int) -> None:
    (tmp_path / "1.png").write_bytes(IMAGE)
    fetcher = Fetcher(replace(LIMITS, thumbnail_side=side), tmp_path, HERE)
    found, missing = fetcher.fetch(post()), fetcher.fetch(post(url="2.png"))
    fetcher.close()
    assert found.post.picture_sha256 == sha256(IMAGE).hexdigest()
    assert (found.thumbnail is None) == (side == 0)
    assert (missing.post.picture_sha256, missing.thumbnail) == ("", None)


# What is known of images


def known_image(tmp_path: Path, content: str) -> tuple[CachedResults, Post]:
    """Results of which those of one image are known, and its post."""
    (tmp_path / "1.png").write_bytes(IMAGE)
    cached = CachedResults(ResultCache(tmp_path / "cache", 2**24), {"embedding": "vit"}, ("embedding",))
    told = post("1-a", url="1.png")
    seen = replace(told, message=replace(told.message, content=content))
    arrival = Fetcher(LIMITS, tmp_path, HERE, cached=cached).fetch(seen)
    assert isinstance(arrival.image, np.ndarray)
    asked = [Asked(arrival.post.picture_sha256.encode(), "pixels", cached.names_of(seen))]
    cached.answers("embedding", "vit", asked, lambda items: [f"of {it}" for it in items])
    return cached, arrival.post


def test_an_image_that_is_known_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached, first = known_image(tmp_path, "")
    monkeypatch.setattr(fetch, "decode", None)
    (tmp_path / "again.png").write_bytes(IMAGE)
    arrival = Fetcher(LIMITS, tmp_path, HERE, cached=cached).fetch(post("2-a", url="again.png"))
    assert arrival.image is None
    assert (arrival.width, arrival.height) == (4, 3)
    assert arrival.post.picture_sha256 == first.picture_sha256
    assert {stage: (it.value, it.kind) for stage, it in arrival.cached.items() if stage != "picture"} == {
        "embedding": ("of pixels", "exact")
    }


def test_an_image_that_its_service_calls_the_same_is_not_fetched(tmp_path: Path) -> None:
    cached, first = known_image(tmp_path, "bluesky:bafk")
    (tmp_path / "1.png").unlink()
    fetcher = Fetcher(LIMITS, tmp_path, HERE, cached=cached)
    told = post("2-a", url="1.png")
    arrival = fetcher.fetch(replace(told, message=replace(told.message, content="bluesky:bafk")))
    assert arrival.image is None
    assert arrival.cached["embedding"].kind == "source"
    assert arrival.post.picture_sha256 == first.picture_sha256
    other = fetcher.fetch(replace(told, message=replace(told.message, content="bluesky:other")))
    assert isinstance(other.image, Failure)


def test_no_field_of_a_post_says_which_image_it_is(tmp_path: Path) -> None:
    cached, first = known_image(tmp_path, "bluesky:bafk")
    claims = {"cid": "bafk", "content": "bluesky:bafk", "picture_sha256": first.picture_sha256, "md5": "1"}
    told = parsed(Message(orjson.dumps({"global_id": "2-bluesky", "url": "none.png", **claims}), "kafka:posts/0@1"))
    assert isinstance(told, Post)
    assert isinstance(Fetcher(LIMITS, tmp_path, HERE, cached=cached).fetch(told).image, Failure)
