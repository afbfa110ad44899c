"""Reddit, Imgur and Tumblr on this machine: a web server that plays them, with faults."""

import base64
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson

from connectors.endpoints import POSTS_FROM, endpoint
from connectors.services.polling_source import PollingSource
from dataflows.all_settings import Settings

CLIENT_ID: Final = "id-of-tests"
SECRET: Final = "secret-of-tests"
KEY: Final = "key-of-tests"
ETAG_SERVICE: Final = "imgur"
"""The service that serves ETags here."""

Body = dict[str, Any]


def polled(address: str, settings: Settings) -> PollingSource:
    """The source of an address, as a flow makes it."""
    found = endpoint(address, POSTS_FROM)
    source = found.source(settings.options_of(found), settings)
    assert isinstance(source, PollingSource)
    return source


@dataclass(slots=True)
class Fault:
    """What is answered instead; `half` sends a part of it and then nothing, `drop` hangs up."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    half: bool = False
    drop: bool = False
    first: Callable[[], None] | None = None
    """Done before the request is answered; as it would have been, where nothing else is said."""


@dataclass(slots=True)
class Asked:
    """A request that came in."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]


@dataclass
class Services:
    """What the services hold, what was asked of them, and what is to go wrong."""

    reddit: dict[str, list[Body]] = field(default_factory=dict)
    """Posts of each subreddit, newest first."""
    imgur: dict[str, list[Body]] = field(default_factory=dict)
    """Entries of each gallery by its path, newest first."""
    albums: dict[str, list[Body]] = field(default_factory=dict)
    tumblr: dict[str, list[Body]] = field(default_factory=dict)
    """Posts of each blog or tag, newest first."""
    images: dict[str, bytes] = field(default_factory=dict)
    faults: deque[Fault] = field(default_factory=deque)
    """Of the next requests of the services, images and tokens not counted."""
    page: int = 3
    headers: dict[str, str] = field(default_factory=dict)
    """Of each answer of a service."""
    asked: list[Asked] = field(default_factory=list)
    tokens: int = 0
    expires_in: int = 86_400
    over: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def settings(self, **others: Any) -> Settings:
        """Settings under which memewax takes these for the services."""
        return Settings(**{**self.variables(), **others})

    def variables(self) -> dict[str, str]:
        return {
            "reddit_client_id": CLIENT_ID,
            "reddit_client_secret": SECRET,
            "reddit_url": f"{self.url}/reddit",
            "reddit_token_url": f"{self.url}/token",
            "imgur_client_id": CLIENT_ID,
            "imgur_url": f"{self.url}/imgur/3",
            "tumblr_api_key": KEY,
            "tumblr_url": f"{self.url}/tumblr/v2",
        }

    def paths(self) -> list[str]:
        """What was asked of the services, in order."""
        return [asked.path for asked in self.asked]

    def answer(self, asked: Asked) -> tuple[int, Any]:
        """Status and body; pages of `page` entries."""
        service, _, rest = asked.path.strip("/").partition("/")
        play = {"reddit": self._reddit, "imgur": self._imgur, "tumblr": self._tumblr}
        return play[service](rest, asked) if service in play else (404, {})

    def _reddit(self, path: str, asked: Asked) -> tuple[int, Any]:
        if asked.headers.get("authorization") != f"bearer token-{self.tokens}":
            return 401, {"message": "Unauthorized", "error": 401}
        kind, name, _ = path.split("/")
        posts = self.reddit.get(name if kind == "r" else f"u/{name}")
        if posts is None:
            return 404, {"message": "Not Found", "error": 404, "reason": "banned"}
        names = [post["data"]["name"] for post in posts]
        after = asked.query.get("after")
        start = names.index(after) + 1 if after else 0
        found = posts[start : start + self.page]
        more = start + self.page < len(posts)
        return 200, {
            "kind": "Listing",
            "data": {"children": found, "after": names[start + self.page - 1] if more else None},
        }

    def _imgur(self, path: str, asked: Asked) -> tuple[int, Any]:
        if asked.headers.get("authorization") != f"Client-ID {CLIENT_ID}":
            return 403, {"data": {"error": "Invalid client_id"}, "success": False, "status": 403}
        parts = path.split("/")[1:]
        if parts[0] == "album":
            images = self.albums.get(parts[1])
            return (404, {}) if images is None else (200, {"data": images, "success": True, "status": 200})
        *place, number = parts
        entries = self.imgur.get("/".join(place))
        start = int(number) * self.page
        if entries is None:
            return 404, {"data": {"error": "no such gallery"}, "success": False, "status": 404}
        return 200, {"data": entries[start : start + self.page], "success": True, "status": 200}

    def _tumblr(self, path: str, asked: Asked) -> tuple[int, Any]:
        if asked.query.get("api_key") != KEY:
            return 401, {"meta": {"status": 401, "msg": "Unauthorized"}, "response": []}
        parts = path.split("/")[1:]
        is_tag = parts[0] == "tagged"
        name = f"tag/{asked.query.get('tag')}" if is_tag else unquote(parts[1])
        posts = self.tumblr.get(name)
        if posts is None:
            return 404, {"meta": {"status": 404, "msg": "Not Found"}, "response": []}
        before = int(asked.query.get("before", 10**12))
        found = [post for post in posts if post["timestamp"] < before][: self.page]
        meta = {"status": 200, "msg": "OK"}
        return 200, {"meta": meta, "response": found if is_tag else {"posts": found, "total_posts": len(posts)}}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    services: Services


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        services, parts = self.server.services, urlsplit(self.path)
        if parts.path.startswith("/images/"):
            found = services.images.get(parts.path)
            self.send(404 if found is None else 200, found or b"")
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(parts.path, dict(parse_qsl(parts.query)), headers)
        services.asked.append(asked)
        fault = services.faults.popleft() if services.faults else Fault(first=lambda: None)
        if fault.first is None:
            self.fail(fault)
        else:
            fault.first()
            self.play(asked)

    def play(self, asked: Asked) -> None:
        services = self.server.services
        status, body = services.answer(asked)
        data = orjson.dumps(body)
        tag = f'"{hash(data):x}"' if asked.path.startswith(f"/{ETAG_SERVICE}/") else ""
        if tag and asked.headers.get("if-none-match") == tag:
            self.send(304, b"")
        else:
            self.send(status, data, {**services.headers, **({"ETag": tag} if tag else {})})

    def do_POST(self) -> None:
        services = self.server.services
        self.rfile.read(int(self.headers["Content-Length"]))
        expected = base64.b64encode(f"{CLIENT_ID}:{SECRET}".encode()).decode()
        if self.headers["Authorization"] != f"Basic {expected}":
            self.send(401, b'{"message": "Unauthorized", "error": 401}')
            return
        services.tokens += 1
        body = {"access_token": f"token-{services.tokens}", "expires_in": services.expires_in}
        self.send(200, orjson.dumps(body))

    def fail(self, fault: Fault) -> None:
        if fault.drop:
            self.close_connection = True
        elif fault.half:
            self.send_response(fault.status)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'{"data": ')
            self.wfile.flush()
            self.server.services.over.wait(60)
            self.close_connection = True
        else:
            self.send(fault.status, fault.body, fault.headers)

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        with suppress(OSError):  # who asked has gone
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Not on stderr."""


@contextmanager
def served() -> Iterator[Services]:
    """Services that answer as long as the block lasts."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.services = services = Services(url=f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield services
    finally:
        services.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


def reddit_post(number: int, url: str = "https://i.redd.it/x.png", **others: Any) -> Body:
    """As Reddit lists it today, less what nobody reads."""
    data = {
        "id": f"p{number}",
        "name": f"t3_p{number}",
        "title": f"Post {number}",
        "author": "somebody",
        "created_utc": 1_700_000_000.0 + number,
        "score": number,
        "subreddit": "memes",
        "permalink": f"/r/memes/comments/p{number}/post/",
        "url": url,
        "is_self": False,
        "is_video": False,
        "over_18": False,
        "spoiler": False,
        "stickied": False,
        "removed_by_category": None,
        "banned_by": None,
        **others,
    }
    return {"kind": "t3", "data": data}


def reddit_gallery(number: int, urls: list[str | None], **others: Any) -> Body:
    """A gallery; None stands for an image that could not be processed."""
    return reddit_post(
        number,
        f"https://www.reddit.com/gallery/p{number}",
        is_gallery=True,
        gallery_data={"items": [{"media_id": f"m{n}", "id": n} for n in range(len(urls))]},
        media_metadata={
            f"m{n}": {"status": "failed"} if url is None else {"status": "valid", "e": "Image", "m": "image/png", "s": {"x": 9, "y": 9, "u": url}}
            for n, url in enumerate(urls)
        },
        **others,
    )  # fmt: skip


def imgur_image(number: int, link: str = "https://i.imgur.com/x.png", **others: Any) -> Body:
    """As Imgur lists an image alone."""
    return {
        "id": f"i{number}",
        "title": f"Image {number}",
        "description": None,
        "datetime": 1_700_000_000 + number,
        "type": "image/png",
        "animated": False,
        "account_url": "somebody",
        "nsfw": False,
        "section": "",
        "ups": number + 2,
        "downs": 2,
        "points": number,
        "score": number * 10,
        "is_album": False,
        "is_ad": False,
        "link": link,
        **others,
    }


def imgur_album(number: int, links: list[str], shown: int = 3, **others: Any) -> Body:
    """As Imgur lists an album: with its first images."""
    album = imgur_image(number, f"https://imgur.com/a/i{number}", is_album=True, **others)
    del album["type"]
    return {**album, "images_count": len(links), "images": album_images(number, links)[:shown]}


def album_images(number: int, links: list[str]) -> list[Body]:
    return [
        {"id": f"i{number}x{n}", "title": None, "description": f"part {n}", "type": "image/png", "link": link}
        for n, link in enumerate(links, 1)
    ]


def tumblr_post(number: int, urls: list[str], **others: Any) -> Body:
    """As Tumblr gives blocks of content."""
    blocks = [{"type": "image", "media": [{"url": url, "width": 640, "height": 480}]} for url in urls]
    return {
        "object_type": "post",
        "type": "blocks",
        "id": 7_000_000 + number,
        "id_string": str(7_000_000 + number),
        "blog_name": "someblog",
        "post_url": f"https://someblog.tumblr.com/post/{number}",
        "timestamp": 1_700_000_000 + number,
        "state": "published",
        "note_count": number,
        "tags": ["memes"],
        "content": [*blocks, {"type": "text", "text": f"Post {number}"}],
        "layout": [],
        "trail": [],
        **others,
    }
