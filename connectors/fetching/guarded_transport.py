"""An httpx transport with the SSRF guard: its pool connects to permitted addresses only."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, cast

import httpcore
import httpx

from connectors.fetching.connecting import Connecting

_KEEP_SECONDS: Final = 30.0


class GuardedTransport(httpx.BaseTransport):
    """Sends requests only through connections of `backend`: no proxy, no other route."""

    def __init__(self, backend: Connecting, connections: int) -> None:
        self._pool = httpcore.ConnectionPool(
            httpx.create_ssl_context(),
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=_KEEP_SECONDS,
            network_backend=backend,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; raises httpx's errors, and `FetchError` if its host is not allowed."""
        url = request.url
        with _errors_of_httpx():
            response = self._pool.handle_request(
                httpcore.Request(
                    request.method,
                    httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                    headers=request.headers.raw,
                    content=cast("Iterable[bytes]", request.stream),
                    extensions=request.extensions,
                )
            )
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=_Body(cast("httpx.SyncByteStream", response.stream)),
            extensions=dict(response.extensions),
        )

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        with _errors_of_httpx():
            yield from self._stream

    def close(self) -> None:
        self._stream.close()


@contextmanager
def _errors_of_httpx() -> Iterator[None]:
    """Re-raise httpcore's errors as the httpx errors of the same names."""
    try:
        yield
    except (
        httpcore.TimeoutException,
        httpcore.NetworkError,
        httpcore.ProtocolError,
        httpcore.UnsupportedProtocol,
    ) as error:
        raised: type[httpx.TransportError] = getattr(httpx, type(error).__name__)
        raise raised(str(error)) from error
