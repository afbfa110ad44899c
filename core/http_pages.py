"""A small threaded HTTP server for probes and scrapers, with limits on connections, time and bytes.

The standard library's server waits indefinitely for a slow client, and buffers megabytes of its headers.
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
"""At one more, the oldest connection is closed, so that slow clients cannot lock out probes."""
_SECONDS: Final = 5.0
"""Timeout for a client to send its request."""
_ANSWER_SECONDS: Final = 5.0
"""Timeout for a client to receive the response."""
_MAX_BYTES: Final = 8192
"""Limit for a request including its headers."""
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
    """A request from a client."""

    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """By lower-cased name; if a name is repeated, its last value."""
    is_local: bool = True
    """Whether the client is on this machine."""


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """The response to a request."""

    status: int
    """HTTP status code."""
    body: bytes
    kind: str = "text/plain; charset=utf-8"

    @classmethod
    def of(cls, status: int, line: str) -> "PageAnswer":
        """Make a response with one line of text."""
        return cls(status, f"{line}\n".encode())


HttpPage = Callable[[PageRequest], PageAnswer]


class PageServer:
    """Serves pages by path until it is closed; a page that raises becomes a response 500, and the server goes on.

    Args:
        pages: By path.
        host: Address to listen on; empty: all interfaces.
        port: 0: any free port.

    Raises:
        OSError: if the port is in use.
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
        """Stop accepting connections, and cut those that are still open after the grace period."""
        self._is_closed = True
        with suppress(OSError):  # wakes the thread that blocks in `accept`
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
            except OSError:  # closed, or out of file descriptors for now
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
            except RuntimeError:  # no thread can be started
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
        """Return the response, and whether to send its body."""
        if b"\r\n\r\n" not in data:
            too_long = len(data) > _MAX_BYTES
            error = f"a request of more than {_MAX_BYTES} bytes" if too_long else "no complete request came in time"
            return PageAnswer.of(431 if too_long else 400, error), True
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
            return PageAnswer.of(404, f"no such page; pages: {', '.join(sorted(self._pages))}"), method == "GET"
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        request = PageRequest(path, dict(parse_qsl(query)), headers, _is_local(peer))
        try:
            return page(request), method == "GET"
        except Exception as error:  # a broken page must not end the server
            return PageAnswer.of(500, type(error).__name__), method == "GET"

    def _let_go(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.pop(connection, None)
        connection.close()


def _read(connection: socket.socket) -> bytes:
    """Read a request, up to a limit in bytes and seconds."""
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
