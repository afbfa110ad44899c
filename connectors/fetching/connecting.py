"""Connections to permitted addresses only (SSRF guard), within a deadline.

The host is resolved once, each address is checked, and the connection goes to the checked address itself. So a name
that resolves differently a moment later (DNS rebinding) does no harm. TLS and the Host header keep the name.
"""

import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from ssl import SSLContext
from typing import Any

import httpcore

from connectors.deadlines import Deadlines, call_with_timeout
from connectors.fetching.address_policy import AddressPolicy
from connectors.fetching.outcomes import FetchError, Outcome
from core.telemetry import FETCH_CONNECTIONS

Resolve = Callable[[str, int], list[str]]
"""Resolves a host and port to IP addresses; raises `OSError` if there are none."""


def resolve(host: str, port: int) -> list[str]:
    """Resolve a host with the system's resolver, which also accepts 2130706433, 0x7f.1 and 0177.0.0.1 as addresses."""
    return list(dict.fromkeys(str(it[4][0]) for it in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


class Connecting(httpcore.NetworkBackend):
    """Network backend of a connection pool that connects to permitted addresses only."""

    def __init__(self, allowed: AddressPolicy, deadlines: Deadlines, find: Resolve = resolve) -> None:
        self._allowed = allowed
        self._deadlines = deadlines
        self._find = find
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first permitted address that responds; raises `FetchError` if `host` has none."""
        failure: Exception = httpcore.ConnectTimeout()
        for address in self._addresses(host, port, timeout):
            try:
                left = _time(self._deadlines, timeout, httpcore.ConnectTimeout)
                stream = self._backend.connect_tcp(address, port, left, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
            else:
                FETCH_CONNECTIONS.inc()
                return _Stream(stream, self._deadlines)
        raise failure

    def _addresses(self, host: str, port: int, timeout: float | None) -> list[str]:
        try:
            found = call_with_timeout(self._deadlines.left(timeout), lambda: self._find(host, port))
        except TimeoutError:
            raise httpcore.ConnectTimeout from None
        except (OSError, UnicodeError) as error:
            again = isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
            raise FetchError(Outcome.UNREACHABLE, "its host has no address", again=again) from error
        permitted = [address for address in found if self._allowed.allows(host, address, port)]
        if not permitted:
            raise FetchError(
                Outcome.REFUSED,
                "its host or port is not on the public web; MEMEWAX_FETCH_ALLOW can allow it",
            )
        return permitted


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadlines: Deadlines) -> None:
        self._stream = stream
        self._deadlines = deadlines

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _time(self._deadlines, timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _time(self._deadlines, timeout, httpcore.WriteTimeout))

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = _time(self._deadlines, timeout, httpcore.ConnectTimeout)
        # TLS takes the socket over; the duplicate still reaches the connection.
        with self._stream.get_extra_info("socket").dup() as connection:
            try:
                # A handshake has many reads, and each would have the whole timeout.
                stream = call_with_timeout(left, lambda: self._stream.start_tls(ssl_context, server_hostname, left))
            except TimeoutError:
                with suppress(OSError):  # ends the handshake, whose thread then closes the socket
                    connection.shutdown(socket.SHUT_RDWR)
                raise httpcore.ConnectTimeout from None
        return _Stream(stream, self._deadlines)

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _time(deadlines: Deadlines, timeout: float | None, over: type[httpcore.TimeoutException]) -> float | None:
    left = deadlines.left(timeout)
    if left == 0:  # a socket would take 0 for "non-blocking" and raise another error
        raise over
    return left
