"""The client: what it tries again, what it reads at most, and which connections it makes."""

import gzip
import socket
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from connectors.fetching.address_policy import AddressPolicy
from connectors.fetching.outcomes import FetchError, Outcome
from connectors.fetching.web import WebLimits
from core.telemetry import FETCH_CONNECTIONS, FETCH_RETRIES
from tests.connectors.fetching.conftest import web_fetcher

LIMITS = WebLimits(concurrency=4, bytes=100_000, seconds=60.0, connect_seconds=5.0, read_seconds=5.0, tries=3)
HERE = AddressPolicy.of(["127.0.0.0/8"])


@dataclass
class Answer:
    """What the server says next."""

    status: int = 200
    body: bytes = b"done"
    headers: dict[str, str] = field(default_factory=dict)
    breaks: bool = False
    """Whether it goes away amid the body."""


class Server(ThreadingHTTPServer):
    """Gives one answer after the other, the last one for ever."""

    def __init__(self, answers: list[Answer]) -> None:
        self.answers = answers
        self.asked: list[dict[str, str]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def next(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append({**self.headers, "path": self.path})
        answer = self.server.next()
        self.send_response(answer.status)
        headers = {"Content-Length": str(len(answer.body)), **answer.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(answer.body[: len(answer.body) // 2] if answer.breaks else answer.body)
        self.close_connection = answer.breaks

    def log_message(self, *args: object) -> None:
        """Not on stderr."""


@contextmanager
def serving(*answers: Answer) -> Iterator[Server]:
    server = Server(list(answers))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class Waits(list[float]):
    """Waits for nothing, and notes for how long."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def failure(call: Callable[[], object]) -> FetchError:
    with pytest.raises(FetchError) as caught:
        call()
    return caught.value


# Tries


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(status: int) -> None:
    waits = Waits()
    with serving(Answer(status), Answer(status), Answer()) as server:
        assert web_fetcher(LIMITS, HERE, sleep=waits).get(server.url) == b"done"
    assert len(waits) == 2


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 410, 451, 501])
def test_what_will_not_change_is_not_asked_again(status: int) -> None:
    waits = Waits()
    with serving(Answer(status)) as server:
        told = failure(lambda: web_fetcher(LIMITS, HERE, sleep=waits).get(server.url))
        assert (told.outcome, str(told)) == (Outcome.HTTP_ERROR, f"HTTP {status}")
        assert len(server.asked) == 1
    assert not waits


def test_after_the_last_try_the_last_reason_is_told() -> None:
    before = FETCH_RETRIES._value.get()
    with serving(Answer(500), Answer(500), Answer(503)) as server:
        assert str(failure(lambda: web_fetcher(LIMITS, HERE, sleep=Waits()).get(server.url))) == "HTTP 503"
        assert len(server.asked) == LIMITS.tries
    assert FETCH_RETRIES._value.get() - before == 2


def test_a_body_that_breaks_off_is_read_again_from_its_start() -> None:
    with serving(Answer(breaks=True), Answer()) as server:
        assert web_fetcher(LIMITS, HERE, sleep=Waits()).get(server.url) == b"done"


def test_a_connection_that_is_refused_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    waits = Waits()
    told = failure(lambda: web_fetcher(LIMITS, HERE, sleep=waits).get(f"http://127.0.0.1:{port}/"))
    assert told.outcome == Outcome.UNREACHABLE
    assert len(waits) == 2


def test_waits_grow_and_differ() -> None:
    waits = Waits()
    with serving(Answer(500)) as server:
        failure(lambda: web_fetcher(replace(LIMITS, tries=8, seconds=1000.0), HERE, sleep=waits).get(server.url))
    assert all(0 <= wait <= 0.5 * 2**number for number, wait in enumerate(waits))
    assert len(set(waits)) == len(waits) == 7


@pytest.mark.parametrize("value", ["7", "7.0"])
def test_a_server_that_names_its_time_is_given_it(value: str) -> None:
    waits = Waits()
    with serving(Answer(429, headers={"Retry-After": value}), Answer()) as server:
        web_fetcher(LIMITS, HERE, sleep=waits).get(server.url)
    assert 7 <= waits[0] < 8


def test_the_time_may_be_a_date() -> None:
    waits = Waits()
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    with serving(Answer(503, headers={"Retry-After": date}), Answer()) as server:
        web_fetcher(LIMITS, HERE, sleep=waits).get(server.url)
    assert 0 < waits[0] <= 31


@pytest.mark.parametrize("value", ["soon", "-1", "Fri, 99 Foo 2026", "", "1e9"])
def test_a_time_that_is_none_is_ignored(value: str) -> None:
    waits = Waits()
    with serving(Answer(503, headers={"Retry-After": value}), Answer()) as server:
        web_fetcher(LIMITS, HERE, sleep=waits).get(server.url)
    assert waits[0] <= 0.5


@pytest.mark.parametrize("value", ["60", "99999999999999999999"])
def test_a_wait_that_would_outlast_the_fetch_is_not_begun(value: str) -> None:
    waits = Waits()
    with serving(Answer(429, headers={"Retry-After": value})) as server:
        assert str(failure(lambda: web_fetcher(LIMITS, HERE, sleep=waits).get(server.url))) == "HTTP 429"
        assert len(server.asked) == 1
    assert not waits


def test_no_next_byte_is_tried_again_within_the_time_of_the_fetch() -> None:
    waits = Waits()
    limits = replace(LIMITS, read_seconds=0.1)
    with serving(Answer(headers={"Content-Length": "9"}), Answer()) as server:
        assert web_fetcher(limits, HERE, sleep=waits).get(server.url) == b"done"
    assert len(waits) == 1


# Bytes


@pytest.mark.parametrize("packing", ["gzip", "deflate", "GZIP"])
def test_what_is_packed_though_nobody_asked_is_unpacked(packing: str) -> None:
    body = zlib.compress(b"done") if packing == "deflate" else gzip.compress(b"done")
    with serving(Answer(body=body, headers={"Content-Encoding": packing})) as server:
        assert web_fetcher(LIMITS, HERE).get(server.url) == b"done"
        assert server.asked[0]["accept-encoding"] == "identity"


@pytest.mark.parametrize("packing", ["gzip, gzip", "br", "zstd", "compress"])
def test_other_packings_are_refused(packing: str) -> None:
    with serving(Answer(headers={"Content-Encoding": packing})) as server:
        assert failure(lambda: web_fetcher(LIMITS, HERE).get(server.url)).outcome == Outcome.UNSUPPORTED


def test_a_packing_that_is_none_is_a_reason() -> None:
    with serving(Answer(headers={"Content-Encoding": "gzip"})) as server:
        assert "gzip" in str(failure(lambda: web_fetcher(LIMITS, HERE).get(server.url)))


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=bytes(LIMITS.bytes + 1)),
        Answer(body=b"x", headers={"Content-Length": str(10**12)}),
        Answer(body=gzip.compress(bytes(LIMITS.bytes + 1)), headers={"Content-Encoding": "gzip"}),
        # Bytes that unpack to nothing, blocks without content, cost as much to read as any others.
        Answer(
            body=b"\x78\x9c" + b"\x00\x00\x00\xff\xff" * (LIMITS.bytes // 5), headers={"Content-Encoding": "deflate"}
        ),
    ],
    ids=["plain", "by its header", "unpacked", "packed"],
)
def test_no_more_is_read_than_allowed(answer: Answer) -> None:
    with serving(answer) as server:
        told = failure(lambda: web_fetcher(LIMITS, HERE).get(server.url))
    assert (told.outcome, str(told)) == (Outcome.TOO_LARGE, f"more than {LIMITS.bytes} bytes")


def test_exactly_as_much_as_allowed_is_read() -> None:
    with serving(Answer(body=bytes(LIMITS.bytes))) as server:
        assert len(web_fetcher(LIMITS, HERE).get(server.url)) == LIMITS.bytes


# Redirects


def test_redirects_are_followed_a_few_times() -> None:
    moved = Answer(302, headers={"Location": "/again"})
    with serving(*[moved] * 5, Answer()) as server:
        assert web_fetcher(LIMITS, HERE).get(server.url) == b"done"
    with serving(*[moved] * 6, Answer()) as server:
        assert "5 redirects" in str(failure(lambda: web_fetcher(LIMITS, HERE).get(server.url)))


def test_of_a_redirect_s_endless_body_little_is_read() -> None:
    many = Answer(302, body=bytes(50_000_000), headers={"Location": "/again"})
    with serving(many, Answer()) as server:
        assert web_fetcher(LIMITS, HERE).get(server.url) == b"done"


@pytest.mark.parametrize("target", ["ftp://a.example/", "data:image/png;base64,AAAA", "javascript:1"])
def test_a_redirect_leads_to_the_web_only(target: str) -> None:
    with serving(Answer(302, headers={"Location": target})) as server:
        told = failure(lambda: web_fetcher(LIMITS, HERE).get(server.url))
    assert told.outcome == Outcome.REFUSED


@pytest.mark.parametrize("target", ["http://a:b/", "http://a/\t\x01"])
def test_a_redirect_to_what_is_no_url_is_a_reason(target: str) -> None:
    with serving(Answer(302, headers={"Location": _utf8(target)})) as server:
        told = failure(lambda: web_fetcher(LIMITS, HERE).get(server.url))
    assert str(told) == "a redirect to an invalid URL"


@pytest.mark.parametrize(("name", "sent"), [("/b\u00fc.png", "/b%C3%BC.png"), ("/a b%41?c=d e", "/a%20b%41?c=d%20e")])
def test_a_redirect_to_a_path_that_is_not_ascii_leads_there(name: str, sent: str) -> None:
    with serving(Answer(302, headers={"Location": _utf8(name)}), Answer()) as server:
        assert web_fetcher(LIMITS, HERE).get(server.url) == b"done"
        assert server.asked[-1]["path"] == sent


def _utf8(text: str) -> str:
    """As a server of this library must be given it to send it as UTF-8."""
    return text.encode().decode("latin-1")


# Connections


def test_a_connection_is_used_again() -> None:
    before = FETCH_CONNECTIONS._value.get()
    with serving(Answer()) as server:
        web = web_fetcher(LIMITS, HERE)
        assert [web.get(server.url) for _ in range(10)] == [b"done"] * 10
    assert FETCH_CONNECTIONS._value.get() - before == 1


def test_a_connection_that_moved_on_is_used_again() -> None:
    before = FETCH_CONNECTIONS._value.get()
    with serving(Answer(302, headers={"Location": "/again"}), Answer()) as server:
        web_fetcher(LIMITS, HERE).get(server.url)
    assert FETCH_CONNECTIONS._value.get() - before == 1


def test_the_fragment_of_a_url_is_not_sent() -> None:
    class Paths(_Handler):
        def do_GET(self) -> None:
            assert "#" not in self.path
            super().do_GET()

    with serving(Answer()) as server:
        server.RequestHandlerClass = Paths
        assert web_fetcher(LIMITS, HERE).get(f"{server.url}a?b=c#d") == b"done"
