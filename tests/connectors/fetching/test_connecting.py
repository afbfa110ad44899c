"""A post's URL cannot make the fetcher speak to what stands beside it in the network."""

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from connectors.fetching.address_policy import AddressPolicy
from connectors.fetching.connecting import Resolve, resolve
from connectors.fetching.outcomes import FetchError, Outcome
from connectors.fetching.web import WebFetcher, WebLimits
from tests.connectors.fetching.conftest import web_fetcher

LIMITS = WebLimits(concurrency=4, bytes=100_000, seconds=5.0, connect_seconds=5.0, read_seconds=5.0, tries=1)
HERE = AddressPolicy.of(["127.0.0.0/8"])


class Site(BaseHTTPRequestHandler):
    """Notes who was asked for, and sends on where its path says."""

    seen: list[tuple[str, str, str | None]]

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers["Host"], self.headers["Authorization"]))
        self.send_response(302 if "to=" in self.path else 200)
        if "to=" in self.path:
            self.send_header("Location", self.path.partition("to=")[2])
        self.send_header("Set-Cookie", "who=you; Path=/")
        body = (self.headers["Cookie"] or "no cookie").encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Not on stderr."""


class Sites(ThreadingHTTPServer):
    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str | None]] = []
        super().__init__(("127.0.0.1", 0), type("Noting", (Site,), {"seen": self.seen}))


@pytest.fixture
def site() -> Iterator[Sites]:
    server = Sites()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def found(*answers: list[str]) -> Resolve:
    """A resolver that gives one answer after the other."""
    left = iter(answers)
    return lambda _host, _port: next(left)


def refused(web: WebFetcher, url: str) -> None:
    with pytest.raises(FetchError, match="MEMEWAX_FETCH_ALLOW") as caught:
        web.get(url)
    assert caught.value.outcome == Outcome.REFUSED


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "localhost",
        "LOCALHOST.",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "127.0.0.1.",
        "user@127.0.0.1",
        "1.1.1.1@127.0.0.1",
        "\uff11\uff12\uff17.0.0.1",
    ],
)
def test_this_machine_is_not_spoken_to_by_any_of_its_names(site: Sites, host: str) -> None:
    with pytest.raises(FetchError) as caught:
        web_fetcher(LIMITS, AddressPolicy()).get(f"http://{host}:{site.server_port}/")
    assert caught.value.outcome in {Outcome.REFUSED, Outcome.UNSUPPORTED, Outcome.UNREACHABLE}
    assert not site.seen


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "017700000001", "localhost"])
def test_those_names_would_have_reached_it(site: Sites, host: str) -> None:
    web_fetcher(LIMITS, HERE).get(f"http://{host}:{site.server_port}/")
    assert len(site.seen) == 1


def test_a_name_that_resolves_to_a_private_address_is_refused(site: Sites) -> None:
    refused(
        web_fetcher(LIMITS, AddressPolicy(), find=found(["127.0.0.1"])), f"http://images.example:{site.server_port}/"
    )
    assert not site.seen


def test_a_redirect_to_a_private_address_is_refused(site: Sites) -> None:
    port = site.server_port
    web = web_fetcher(LIMITS, AddressPolicy.of(["good.example"]), find=found(["127.0.0.1"], ["127.0.0.1"]))
    refused(web, f"http://good.example:{port}/?to=http://bad.example:{port}/secret")
    assert [path.partition("?")[0] for path, _, _ in site.seen] == ["/"]


def test_the_connection_is_made_to_the_address_that_was_checked(site: Sites) -> None:
    """A name whose next answer would be another: nobody asks for it."""
    with socket.create_server(("127.0.0.2", site.server_port)) as other:
        other.setblocking(False)
        web = web_fetcher(LIMITS, AddressPolicy.of(["127.0.0.1"]), find=found(["127.0.0.1"], ["127.0.0.2"]))
        web.get(f"http://images.example:{site.server_port}/a")
        refused(web, f"http://images.example:{site.server_port}/b")
        with pytest.raises(BlockingIOError):
            other.accept()
    assert site.seen == [("/a", f"images.example:{site.server_port}", None)]


def test_of_several_addresses_only_permitted_ones_are_tried(site: Sites) -> None:
    with socket.create_server(("127.0.0.2", site.server_port)) as other:
        other.setblocking(False)
        web = web_fetcher(LIMITS, AddressPolicy.of(["127.0.0.1"]), find=found(["127.0.0.2", "127.0.0.1"]))
        web.get(f"http://images.example:{site.server_port}/")
        with pytest.raises(BlockingIOError):
            other.accept()
    assert len(site.seen) == 1


def test_an_address_that_does_not_answer_gives_way_to_the_next(site: Sites) -> None:
    web = web_fetcher(LIMITS, HERE, find=found(["127.0.0.3", "127.0.0.1"]))
    web.get(f"http://images.example:{site.server_port}/")
    assert len(site.seen) == 1


def test_a_proxy_of_the_environment_does_not_lead_around_the_check(
    site: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{site.server_port}")
    refused(web_fetcher(LIMITS, HERE, find=found(["10.0.0.1"])), "http://images.example/")
    assert not site.seen


def test_no_cookie_is_kept(site: Sites) -> None:
    web = web_fetcher(LIMITS, HERE)
    url = f"http://127.0.0.1:{site.server_port}/"
    assert [web.get(url), web.get(url)] == [b"no cookie"] * 2


def test_a_password_of_a_url_is_used_and_told_to_nobody_else(site: Sites) -> None:
    port = site.server_port
    web = web_fetcher(LIMITS, AddressPolicy.of(["a.example", "b.example"]), find=lambda _host, _port: ["127.0.0.1"])
    web.get(f"http://me:hunter2@a.example:{port}/?to=http://b.example:{port}/")
    assert [authorization for _, _, authorization in site.seen] == ["Basic bWU6aHVudGVyMg==", None]


@pytest.mark.parametrize(
    "url", ["http://me:hunter2@127.0.0.1:1/", "http://me:hunter2@[", "http://me:hunter2@a:b/", "http://hunter2/@:x"]
)
def test_a_password_of_a_url_is_in_no_reason(url: str) -> None:
    with pytest.raises(FetchError) as caught:
        web_fetcher(LIMITS, HERE).get(url)
    assert "hunter2" not in str(caught.value)


def test_looking_for_a_host_takes_no_longer_than_the_fetch_may() -> None:
    asked, over = threading.Event(), threading.Event()

    def slow(_host: str, _port: int) -> list[str]:
        asked.set()
        over.wait(30)
        return ["127.0.0.1"]

    limits = WebLimits(concurrency=1, bytes=1, seconds=0.2, connect_seconds=9.0, read_seconds=9.0, tries=3)
    with pytest.raises(FetchError, match=r"incomplete after 0\.2 s"):
        web_fetcher(limits, HERE, find=slow).get("http://images.example/")
    assert asked.is_set()
    over.set()


def test_a_host_without_an_address_is_a_reason() -> None:
    with pytest.raises(FetchError, match="no address") as caught:
        web_fetcher(LIMITS, HERE, find=_nowhere).get("http://images.example/")
    assert caught.value.outcome == Outcome.UNREACHABLE


def _nowhere(_host: str, _port: int) -> list[str]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def test_every_address_of_a_host_is_found_once() -> None:
    assert resolve("127.0.0.1", 80) == ["127.0.0.1"]
    assert "127.0.0.1" in resolve("localhost", 80)


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For images.example, signed by itself."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    names = ["-subj", "/CN=images.example", "-addext", "subjectAltName=DNS:images.example"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(path), "-out", "-", *names]
    try:
        done = subprocess.run(made, capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip("no openssl")
    path.write_bytes(path.read_bytes() + done.stdout)
    return path


@pytest.fixture
def safe_site(site: Sites, certificate: Path) -> Sites:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    site.socket = context.wrap_socket(site.socket, server_side=True, do_handshake_on_connect=False)
    return site


def test_a_certificate_must_be_of_the_name_and_not_of_the_address(
    safe_site: Sites, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    web = web_fetcher(LIMITS, HERE, find=lambda _host, _port: ["127.0.0.1"])
    web.get(f"https://images.example:{safe_site.server_port}/")
    assert [host for _, host, _ in safe_site.seen] == [f"images.example:{safe_site.server_port}"]
    with pytest.raises(FetchError, match="certificate"):
        web.get(f"https://other.example:{safe_site.server_port}/")


def test_a_handshake_that_goes_on_and_on_ends_with_the_time() -> None:
    """A byte now and then is no timeout of the socket; and nobody listens on behind the back of who gave up."""

    def trickle(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            connection.sendall(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")  # a long message of the handshake begins
            for _ in range(1000):
                connection.sendall(b"\0")
                time.sleep(0.02)
            ended.append("by itself")

    ended: list[str] = []
    limits = WebLimits(concurrency=1, bytes=1, seconds=0.3, connect_seconds=9.0, read_seconds=9.0, tries=1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=trickle, args=(server,), daemon=True)
        thread.start()
        with pytest.raises(FetchError, match=r"incomplete after 0\.3 s"):
            web_fetcher(limits, HERE).get(f"https://127.0.0.1:{server.getsockname()[1]}/")
        thread.join(30)
    assert not thread.is_alive()
    assert not ended
