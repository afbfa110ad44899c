"""What a service's server may send at most, and for how long."""

import gzip
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler

import pytest

from connectors.services import api_web
from connectors.services.api_web import ApiWeb, TransientError
from tests.web_server import serving


class _Site(BaseHTTPRequestHandler):
    """Says what its path says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = b"x" * 1000
        self.send_response(302 if self.path == "/moved" else 200)
        self.send_header("Set-Cookie", "who=you; Path=/")
        if self.path == "/moved":
            self.send_header("Location", "http://a:b/")
        if self.path == "/packed":
            assert self.headers["accept-encoding"] == "gzip"
            body = gzip.compress(body)
            self.send_header("Content-Encoding", "gzip")
        if self.path == "/cookie":
            body = (self.headers["Cookie"] or "none").encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(OSError):
            for place in range(0, len(body), 10 if self.path == "/trickling" else len(body)):
                self.wfile.write(body[place:][: 10 if self.path == "/trickling" else None])
                time.sleep(0.02 if self.path == "/trickling" else 0)

    def log_message(self, *args: object) -> None:
        """Not on stderr."""


@pytest.fixture
def site() -> Iterator[str]:
    with serving(_Site) as address:
        yield address


@contextmanager
def asking(seconds: float = 5.0) -> Iterator[ApiWeb]:
    web = ApiWeb(seconds, "test")
    try:
        yield web
    finally:
        web.close()


def test_an_answer_that_is_packed_is_unpacked(site: str) -> None:
    with asking() as web:
        assert web.request("GET", f"{site}/packed").body == b"x" * 1000


def test_an_answer_that_trickles_in_ends_with_the_time(site: str) -> None:
    with asking(0.3) as web, pytest.raises(TransientError, match=r"no complete response within 0\.3 s"):
        web.request("GET", f"{site}/trickling")


@pytest.mark.parametrize("path", ["plain", "packed"])
def test_no_more_is_read_than_allowed(path: str, site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_web, "_MAX_BYTES", 999)
    with asking() as web, pytest.raises(TransientError, match="a response of more than 999 bytes"):
        web.request("GET", f"{site}/{path}")


def test_a_redirect_is_an_answer_wherever_it_leads(site: str) -> None:
    with asking() as web:
        assert web.request("GET", f"{site}/moved").status == 302


def test_no_cookie_is_kept(site: str) -> None:
    with asking() as web:
        assert [web.request("GET", f"{site}/cookie").body for _ in range(2)] == [b"none"] * 2


def test_a_proxy_of_the_environment_is_asked(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unlike the images of strangers, whose addresses are checked here."""
    monkeypatch.setenv("http_proxy", site)
    with asking() as web:
        assert web.request("GET", "http://api.example/").status == 200
