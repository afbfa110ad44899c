"""Feeds: their forms, and how they are polled."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from connectors.chosen_endpoints import source_of
from connectors.endpoints import POSTS_FROM, endpoint
from connectors.services import feed
from connectors.services.api_client import RetryPolicy
from connectors.services.api_web import ApiAnswer
from connectors.services.clock import WallClock
from connectors.services.feed import Feed, entries_of
from connectors.services.listing import Listing, ServicePost
from connectors.services.polling_source import PollingSource
from connectors.services.rate_limit import RateLimiter
from connectors.sources.parse import parse_post
from connectors.sources.several import Several
from core.errors import SettingsError, WorldError
from core.records import Message
from dataflows.all_settings import Settings
from tests.services import polled
from tests.web_server import serving

URL = "https://x.org/feeds/a.xml"
RSS = """<?xml version="1.0"?><rss version="2.0" xmlns:media="http://search.yahoo.com/mrss/"
 xmlns:content="http://purl.org/rss/1.0/modules/content/"><channel><title>Memes</title>{}</channel></rss>"""
ATOM = """<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom" xmlns:media="http://search.yahoo.com/mrss/">
<title>Memes</title>{}</feed>"""


def found(body: str | bytes, url: str = URL) -> list[Any]:
    data = body.encode() if isinstance(body, str) else body
    page = feed._page(entries_of(ApiAnswer(200, httpx.Headers({"content-type": "text/xml"}), data), url))
    return [feed.parse_item(item) for item in page.items]


def images(body: str | bytes) -> list[str]:
    post = found(body)[0]
    assert isinstance(post, ServicePost)
    return [it.url for it in post.images if not isinstance(it, str)]


def test_an_entry_of_rss_is_a_post() -> None:
    item = """<item><guid isPermaLink="false">t3_abc</guid><title>Cats &amp;amp; &lt;b&gt;dogs&lt;/b&gt;</title>
    <link>https://x.org/post/1</link><author>bob@x.org (Bob)</author><pubDate>Mon, 11 Dec 2023 08:00:00 GMT</pubDate>
    <category>memes</category><enclosure url="https://x.org/e.jpg" type="image/jpeg" length="1"/>
    <description>&lt;img src="/other.png"&gt;</description></item>"""
    assert found(RSS.format(item)) == [
        ServicePost(
            id="x.org/t3_abc",
            author="bob@x.org (Bob)",
            created=1702281600.0,
            title="Cats & dogs",
            score=0,
            images=[feed.ServiceImage("https://x.org/e.jpg")],
            permalink="https://x.org/post/1",
            channel="Memes",
            extra={"tags": ["memes"]},
        )
    ]


def item(inside: str) -> str:
    return RSS.format(
        f"<item><guid>https://x.org/1</guid><link>https://x.org/p/1</link><title>T</title>{inside}</item>"
    )


@pytest.mark.parametrize(
    ("body", "urls"),
    [
        (item('<media:content url="https://a/1.jpg" medium="image"/><media:content url="https://a/2.jpg" type="image/png"/>'),
         ["https://a/1.jpg", "https://a/2.jpg"]),
        (item('<media:group><media:content url="https://a/s.jpg" medium="image" width="100"/><media:content url="https://a/l.jpg"'
              ' medium="image" width="900"/></media:group>'), ["https://a/l.jpg"]),
        (item("<description>&lt;p&gt;hi&lt;img src='../rel.png'&gt;&lt;img src='b.png'&gt;</description>"), ["https://x.org/rel.png"]),
        (item("<content:encoded><![CDATA[<img src='//cdn/c.png'>]]></content:encoded>"), ["https://cdn/c.png"]),
        (item('<media:thumbnail url="https://a/t.jpg"/>'), ["https://a/t.jpg"]),
        (item('<enclosure url="https://a/e.mp3" type="audio/mpeg"/><enclosure url="https://a/e.webp" type="image/webp"/>'),
         ["https://a/e.webp"]),
        (ATOM.format('<entry><id>tag:x,1</id><title>T</title><link href="https://x.org/1"/><content type="html">'
                     "&lt;img src='i.gif'&gt;</content></entry>"), ["https://x.org/feeds/i.gif"]),
        (orjson.dumps({"version": "https://jsonfeed.org/version/1.1", "title": "Memes", "items": [
            {"id": 7, "url": "https://x.org/7", "attachments": [{"url": "https://a/7.png", "mime_type": "image/png"}]}]}),
         ["https://a/7.png"]),
    ],
)  # fmt: skip
def test_images_are_found_where_feeds_keep_them(body: str | bytes, urls: list[str]) -> None:
    assert images(body) == urls


def test_an_entry_without_a_title_has_its_text() -> None:
    """As Mastodon's have."""
    post = found(
        RSS.format(
            "<item><guid>https://m/1</guid><description>&lt;p&gt;hello&lt;/p&gt;</description>"
            '<media:content url="https://a/1.jpg" medium="image"/></item>'
        )
    )[0]
    assert post.title == "hello"


@pytest.mark.parametrize(
    ("inside", "reason"),
    [("<description>words</description>", "text"), ('<enclosure url="https://a/f.mp4" type="video/mp4"/>', "video")],
)
def test_what_is_no_image_is_told(inside: str, reason: str) -> None:
    assert found(item(inside)) == [reason]


@pytest.mark.parametrize("body", ["<html><body>hi</body></html>", "", "{}", '{"version": "1", "items": []}'])
def test_what_is_no_feed_is_told(body: str) -> None:
    with pytest.raises(WorldError, match=r"is not an RSS|not a JSON feed"):
        found(body)


def test_ids_are_those_of_the_feed_and_bounded() -> None:
    entry = {"id": None, "link": "https://x.org/1", "feed": URL}
    assert feed._id(entry) == "https://x.org/1"
    assert feed._id(entry | {"link": ""}) is None
    assert len(feed._id(entry | {"id": "x" * 1000}) or "") == 32


def test_addresses() -> None:
    found = endpoint("feed:https://a/x?y=1+2+https://b/z", POSTS_FROM)
    assert isinstance(found, Feed)
    assert found.names == ("https://a/x?y=1+2", "https://b/z")
    with pytest.raises(SettingsError, match="expected the URL of a feed"):
        endpoint("feed:lemmy", POSTS_FROM)
    with pytest.raises(SettingsError, match="is not feed:URL"):
        endpoint("feed:", POSTS_FROM)


@dataclass
class Site:
    """A site with one feed that has moved."""

    entries: list[int] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    gone: int = 410
    moved: dict[str, str] = field(default_factory=dict)

    def handler(self) -> type[BaseHTTPRequestHandler]:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.startswith("/gone"):
                    self._send(site.gone, b"", {})
                    return
                if self.path in site.moved:
                    self._send(302, b"", {"Location": site.moved[self.path]})
                    return
                if self.path == "/old":
                    self._send(301, b"", {"Location": "/feed.xml"})
                    return
                site.asked.append({name.lower(): value for name, value in self.headers.items()})
                inside = "".join(
                    f"<item><guid>https://x/{n}</guid><enclosure url='https://x/{n}.png' type='image/png'/></item>"
                    for n in reversed(site.entries)
                )
                marks = {"ETag": f'"{len(site.entries)}"', "Last-Modified": f"day {len(site.entries)}"}
                known = self.headers.get("if-none-match") == marks["ETag"]
                self._send(304 if known else 200, b"" if known else RSS.format(inside).encode(), marks)

            def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
                site.answers.append(status)
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@pytest.fixture
def site() -> Iterator[tuple[Site, str]]:
    made = Site()
    with serving(made.handler()) as address:
        yield made, f"{address}/old"


def test_a_feed_is_polled_for_what_is_new(site: tuple[Site, str]) -> None:
    made, url = site
    settings = Settings(source=(f"feed:{url}",))
    found = endpoint(settings.source[0], POSTS_FROM)
    source = found.source(settings.options_of(found), settings)
    known: dict[str, Any] = {}

    def run() -> list[str]:
        ids = []
        for part in source.parts():
            reader = source.open(part, known.get(part))
            while not reader.ended:
                if (unit := reader.read()) is not None:
                    known[part] = unit.resume
                    ids += [parse_post(Message(it.value, "")).global_id for it in unit.messages]
        return ids

    made.entries = [1, 2]
    assert run() == ["https://x/1-feed", "https://x/2-feed"]
    assert run() == []
    assert (made.asked[-1]["if-none-match"], made.asked[-1]["if-modified-since"]) == ('"2"', "day 2")
    assert made.answers == [301, 200, 301, 304]
    made.entries = [1, 2, 3]
    assert run() == ["https://x/3-feed"]
    assert all("memewax" in it["user-agent"] for it in made.asked)


def ids(source: PollingSource | Several, known: dict[str, Any], most: int = 1000) -> list[str]:
    """What a run gives that ends after so many units; it goes on from `known`, and leaves its position there."""
    found: list[str] = []
    for part in source.parts():
        reader = source.open(part, known.get(part))
        while not reader.ended and most:
            if (unit := reader.read()) is not None:
                known[part], most = unit.resume, most - 1
                found += [parse_post(Message(it.value, "")).global_id for it in unit.messages]
        reader.close()
    return found


def test_a_run_that_was_stopped_amid_a_feed_has_the_rest_later(site: tuple[Site, str]) -> None:
    made, url = site
    made.entries = [1, 2, 3]
    settings = Settings(read_batch=1)
    known: dict[str, Any] = {}
    assert ids(polled(f"feed:{url}", settings), known, most=1) == ["https://x/1-feed"]
    assert ids(polled(f"feed:{url}", settings), known) == ["https://x/2-feed", "https://x/3-feed"]


@pytest.mark.parametrize(
    ("status", "told"),
    [(410, r"^the feed \S+/gone is gone \(410\)$"), (404, r"^there is no feed \S+/gone \(404\): check its address$")],
)
def test_a_feed_that_is_gone_ends_a_run_that_reads_nothing_else(
    status: int, told: str, site: tuple[Site, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, url = site
    made.entries, made.gone = [1], status
    gone = url.replace("/old", "/gone")
    with pytest.raises(WorldError, match=told):
        ids(polled(f"feed:{gone}", Settings()), {})
    with pytest.raises(WorldError, match="/gone"):
        ids(polled(f"feed:{gone}+{gone}?again", Settings()), {})
    assert ids(polled(f"feed:{gone}+{url}", Settings()), {}) == ["https://x/1-feed"]
    (tmp_path / "posts.jsonl").write_bytes(b'{"global_id": "mine", "url": "a.png"}\n')
    several = source_of(Settings(source=(f"feed:{gone}", str(tmp_path / "posts.jsonl"))))
    assert isinstance(several, Several)
    assert ids(several, {}) == ["mine"]
    assert capsys.readouterr().out.count("source not found, skipped") == 3


def test_hosts_of_feeds_are_asked_apart_and_feeds_of_a_host_together() -> None:
    def rate_limiter(url: str) -> RateLimiter:
        found = endpoint(f"feed:{url}", POSTS_FROM)
        assert isinstance(found, Feed)
        return found.rate_limiter(url)

    one = rate_limiter("https://a.example/x.xml")
    one.note({"retry-after": "600"}, (), 1000.0)
    assert rate_limiter("https://me:word@a.example/y.xml") is one
    assert rate_limiter("https://b.example/x.xml").opens_at == 0


def test_a_server_may_say_that_nothing_is_new(site: tuple[Site, str]) -> None:
    made, url = site
    made.entries = [1]
    settings = Settings(source=(f"feed:{url}",), follow=True, feed_interval_seconds=60)
    found = endpoint(settings.source[0], POSTS_FROM)
    assert isinstance(found, Feed)
    assert found.interval(settings) == 60
    listing, close = found.opening(settings)(url, WallClock(threading.Event()), RetryPolicy(5, 1, 0.1, 1))
    assert listing.page(None) is not None
    assert listing.page(None) is None
    assert (made.asked[-1]["if-none-match"], made.asked[-1]["if-modified-since"]) == ('"1"', "day 1")
    assert made.answers == [301, 200, 301, 304]
    close()


def opened(url: str, **more: Any) -> tuple[Listing, Callable[[], None]]:
    """A feed's listing, as the settings open it, and what closes it."""
    settings = Settings(source=(f"feed:{url}",), **more)
    found = endpoint(settings.source[0], POSTS_FROM)
    assert isinstance(found, Feed)
    return found.opening(settings)(url, WallClock(threading.Event()), RetryPolicy(5, 1, 0.1, 1))


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/feed.xml",
        "http://[::ffff:127.0.0.1]:{port}/feed.xml",
        "http://localhost:{port}/feed.xml",
        "//localhost:{port}/feed.xml",
        "http://127.0.0.1:{other}/feed.xml",
        "http://0x7f.1:{port}/feed.xml",
    ],
)
def test_a_redirect_leads_to_no_private_address(target: str, site: tuple[Site, str]) -> None:
    made, url = site
    port = urlsplit(url).port
    assert port is not None
    made.moved = {"/out": target.format(port=port, other=port - 1)}
    listing, close = opened(url.replace("/old", "/out"))
    with pytest.raises(WorldError, match=r"/out was not read: a redirect to .*MEMEWAX_FETCH_ALLOW"):
        listing.page(None)
    close()
    assert made.asked == []


def test_a_redirect_that_leads_back_is_a_strangers_too(site: tuple[Site, str]) -> None:
    made, url = site
    port = urlsplit(url).port
    made.moved = {"/out": f"http://localhost:{port}/back", "/back": f"http://127.0.0.1:{port}/feed.xml"}
    listing, close = opened(url.replace("/old", "/out"), fetch_allow=("localhost",))
    with pytest.raises(WorldError, match=r"a redirect to '127\.0\.0\.1'"):
        listing.page(None)
    close()
    assert made.asked == []


def test_a_redirect_leads_to_what_is_allowed(site: tuple[Site, str]) -> None:
    made, url = site
    made.entries = [1]
    made.moved = {"/out": f"http://localhost:{urlsplit(url).port}/feed.xml"}
    listing, close = opened(url.replace("/old", "/out"), fetch_allow=("localhost",))
    assert listing.page(None) is not None
    close()


@pytest.mark.parametrize(
    ("body", "url"),
    [
        ('<img src="data:image/gif;base64,R0"><img src="https://a/1.jpg">', "https://a/1.jpg"),
        ('<img src="https://t/p.gif" width="1" height="1"><img src="https://a/2.jpg" width="1">', "https://a/2.jpg"),
    ],
)
def test_what_stands_in_for_an_image_or_counts_readers_is_none(body: str, url: str) -> None:
    assert images(item(f"<description><![CDATA[{body}]]></description>")) == [url]


@pytest.mark.parametrize(
    "odd",
    [{"attachments": 5}, {"authors": 5}, {"tags": 5}, {"date_published": [1]}, {"author": "x", "attachments": {}}],
)
def test_an_odd_item_of_json_spoils_no_feed(odd: dict[str, Any]) -> None:
    one, two = ({"id": f"https://x.org/{n}", "image": f"https://a/{n}.jpg"} for n in (1, 2))
    feed_of_two = {"version": "https://jsonfeed.org/version/1.1", "items": [one | odd, two]}
    assert [it.images[0].url for it in found(b"\xef\xbb\xbf" + orjson.dumps(feed_of_two))] == [
        "https://a/1.jpg",
        "https://a/2.jpg",
    ]
