"""The server of pages: whoever asks gets an answer, and nobody keeps others out."""

import http.client
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from core import http_pages
from core.http_pages import PageAnswer, PageRequest, PageServer


@pytest.fixture
def server() -> Iterator[PageServer]:
    def echo(request: PageRequest) -> PageAnswer:
        return PageAnswer.of(200, f"{request.query.get('a', '')} {request.headers.get('accept', '')}")

    def broken(_: PageRequest) -> PageAnswer:
        raise ZeroDivisionError

    made = PageServer({"/echo": echo, "/broken": broken}, "127.0.0.1", 0)
    yield made
    made.close()


def ask(server: PageServer, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    found = answer.status, answer.read().decode()
    connection.close()
    return found


def said(server: PageServer, data: bytes) -> bytes:
    """What comes back for these bytes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(data)
        answer = b""
        while more := connection.recv(4096):
            answer += more
        return answer


def test_pages_are_given_what_was_asked(server: PageServer) -> None:
    assert ask(server, "/echo?a=1&b=2", accept="x") == (200, "1 x\n")
    assert ask(server, "/echo", "HEAD") == (200, "")
    assert ask(server, "/none") == (404, "no such page; pages: /broken, /echo\n")
    assert ask(server, "/echo", "POST") == (405, "expected GET or HEAD\n")
    assert ask(server, "/broken") == (500, "ZeroDivisionError\n")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /echo?" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"GET /echo HTTP/1.1\r\n" + b"x: y\r\n" * 5000 + b"\r\n", b"431"),
        (b"GET /echo\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\r\n\r\n", b"400"),
        (b"GET /echo HTTP/1.1\r\naccept: a\nset-cookie: b\r\n\r\n", b"400"),
        (b"GET http://host/echo HTTP/1.1\r\n\r\n", b"400"),
    ],
)
def test_what_is_no_request_is_refused(data: bytes, status: bytes, server: PageServer) -> None:
    try:
        answer = said(server, data)
    except ConnectionResetError:  # it hung up amid what was sent
        return
    assert answer.split(b" ")[1] == status


def test_slow_clients_keep_nobody_out(server: PageServer) -> None:
    slow = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(100)]
    for it in slow:
        it.sendall(b"GET /echo HTTP/1.1\r\n")
    assert ask(server, "/echo?a=1") == (200, "1 \n")
    assert slow[0].recv(10) == b""  # the oldest were let go
    for it in slow:
        it.close()


def test_one_that_never_asks_is_told_so(server: PageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_pages, "_SECONDS", 0.05)
    assert said(server, b"GET /echo HTTP").split(b" ")[1] == b"400"


def test_many_at_once_are_all_answered(server: PageServer) -> None:
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(lambda _: ask(server, "/echo?a=1"), range(200))) == {(200, "1 \n")}


def test_a_closed_one_gives_its_port_back(server: PageServer) -> None:
    assert ask(server, "/echo")[0] == 200
    with pytest.raises(OSError, match="in use"):
        PageServer({}, "127.0.0.1", server.port)
    server.close()
    PageServer({}, "127.0.0.1", server.port).close()


def test_all_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    for dual in (socket.has_dualstack_ipv6(), False):
        monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda dual=dual: dual)
        made = PageServer({"/": lambda it: PageAnswer.of(200, str(it.is_local))}, "", 0)
        assert ask(made, "/") == (200, "True\n")
        made.close()
