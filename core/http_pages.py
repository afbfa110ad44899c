"""A small HTTP server for probes and scrapers, in threads of its own: a few pages, whoever asks, and bounds on all.

The server of the standard library waits for a slow client as long as that takes, and holds megabytes of headers for it.
"""

import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote

_MOST_CONNECTIONS: Final = 32
"""One more, and the oldest is closed: slow clients keep no probe out."""
_SECONDS: Final = 5.0
"""For a client to ask."""
_ANSWER_SECONDS: Final = 5.0
"""For a client to take its answer."""
_MAX_BYTES: Final = 8192
"""Of a request, its headers included."""
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What a client asks for."""

    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """By names in small letters; of several of one name the last."""
    is_local: bool = True
    """Whether it comes from this machine."""


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """What it gets."""

    status: int
    """One of HTTP's."""
    body: bytes
    kind: str = "text/plain; charset=utf-8"

    @classmethod
    def of(cls, status: int, line: str) -> "PageAnswer":
        """A line of text."""
        return cls(status, f"{line}\n".encode())


HttpPage = Callable[[PageRequest], PageAnswer]


class PageServer:
    """Serves pages by path at an address, until it is closed; an answer that raises is 500, and ends nothing.

    Args:
        pages: By path.
        host: Address to listen on; empty: all.
        port: 0: any that is free.

    Raises:
        OSError: where the port is taken.
    """

    def __init__(self, pages: Mapping[str, HttpPage], host: str, port: int) -> None:
        self._pages = pages
        family = socket.AF_INET6 if ":" in host or (not host and socket.has_dualstack_ipv6()) else socket.AF_INET
        both = not host and family == socket.AF_INET6
        self._socket = socket.create_server((host, port), family=family, backlog=128, dualstack_ipv6=both)
        self.port: int = self._socket.getsockname()[1]
        self._open: dict[socket.socket, None] = {}
        self._lock = threading.Lock()
        self._is_closed = False
        threading.Thread(target=self._accept, name="http", daemon=True).start()

    def close(self, grace_seconds: float = 0.0) -> None:
        """Take no more connections, and cut those that are there after so long."""
        self._is_closed = True
        with suppress(OSError):  # it wakes who waits in `accept`
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        deadline = time.monotonic() + grace_seconds
        while self._open and time.monotonic() < deadline:
            time.sleep(0.01)
        with self._lock:
            for it in self._open:
                _cut(it)

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                connection, peer = self._socket.accept()
            except OSError:  # closed, or no descriptor is free just now
                time.sleep(0.05)
                continue
            with self._lock:
                if len(self._open) >= _MOST_CONNECTIONS:
                    oldest = next(iter(self._open))
                    del self._open[oldest]
                    _cut(oldest)
                self._open[connection] = None
            try:
                threading.Thread(target=self._serve, args=(connection, peer[0]), name="http", daemon=True).start()
            except RuntimeError:  # no thread is to be had
                self._let_go(connection)

    def _serve(self, connection: socket.socket, peer: str) -> None:
        try:
            with suppress(OSError):
                answer, with_body = self._answered(_read(connection), peer)
                connection.settimeout(_ANSWER_SECONDS)
                head = (
                    f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}\r\nContent-Type: {answer.kind}\r\n"
                    f"Content-Length: {len(answer.body)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
                )
                connection.sendall(head.encode() + (answer.body if with_body else b""))
                connection.shutdown(socket.SHUT_WR)
        finally:
            self._let_go(connection)

    def _answered(self, data: bytes, peer: str) -> tuple[PageAnswer, bool]:
        """The answer, and whether its body is wanted."""
        if b"\r\n\r\n" not in data:
            too_long = len(data) > _MAX_BYTES
            told = f"a request of more than {_MAX_BYTES} bytes" if too_long else "no whole request came in time"
            return PageAnswer.of(431 if too_long else 400, told), True
        first, *lines = data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        words = first.split(" ")
        if (
            not "".join([first, *lines]).replace("\t", "").isprintable()
            or len(words) != 3
            or not words[1].startswith("/")
            or not words[2].startswith("HTTP/1.")
        ):
            return PageAnswer.of(400, "expected GET /PATH HTTP/1.1"), True
        method, target, _ = words
        if method not in {"GET", "HEAD"}:
            return PageAnswer.of(405, "expected GET or HEAD"), True
        path, _, query = target.partition("?")
        page = self._pages.get(unquote(path))
        if page is None:
            return PageAnswer.of(404, f"there are {', '.join(sorted(self._pages))}"), method == "GET"
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        request = PageRequest(path, dict(parse_qsl(query)), headers, _is_local(peer))
        try:
            return page(request), method == "GET"
        except Exception as error:  # a page that is broken must not end who serves it
            return PageAnswer.of(500, type(error).__name__), method == "GET"

    def _let_go(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.pop(connection, None)
        connection.close()


def _read(connection: socket.socket) -> bytes:
    """What a client asks, up to a bound in bytes and seconds."""
    data, deadline = b"", time.monotonic() + _SECONDS
    while b"\r\n\r\n" not in data and len(data) <= _MAX_BYTES:
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            more = connection.recv(4096)
        except TimeoutError:
            break
        if not more:
            break
        data += more
    return data


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _is_local(peer: str) -> bool:
    return peer.removeprefix("::ffff:").startswith("127.") or peer == "::1"
