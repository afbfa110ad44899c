"""Asking web servers, within bounds of time and size.

What fetches the images of strangers gives the client a transport that guards where it connects to. Who asks a server
that the settings name goes without, by httpx's own transport, which takes the proxies of the environment; only where
that server's redirects lead elsewhere, which a stranger may have chosen, is the way guarded.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final

import httpx

from connectors.deadlines import Deadlines
from connectors.fetching.outcomes import FetchError, Outcome
from core.telemetry import quieten_libraries

_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_SHOWN: Final = 100
"""Characters of a host."""
_SPARE_BYTES: Final = 65_536
"""A redirect's body of at most so many bytes is read, so that its connection can be used again."""


class AnswerError(Exception):
    """An answer that cannot be used."""


class TooLargeError(AnswerError):
    """An answer of more bytes than are read."""


class PackingError(AnswerError):
    """An answer packed in a way that was not asked for."""


class RedirectError(AnswerError):
    """A redirect that leads away from the web, or to where none may lead."""


class HttpClient:
    """An httpx client without cookies; its methods may be called by many threads.

    Besides `AnswerError` they raise what httpx raises: `httpx.InvalidURL` and `httpx.TransportError`.
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        timeout: httpx.Timeout,
        *,
        max_bytes: int,
        redirects: int = 0,
        deadlines: Deadlines | None = None,
        transport: httpx.BaseTransport | None = None,
        elsewhere: httpx.BaseTransport | None = None,
    ) -> None:
        """Make a client; nothing is connected yet.

        Args:
            headers: Sent with each request.
            timeout: Of each connection, read and write.
            max_bytes: Most that is read of a body, as it comes and as it is unpacked.
            redirects: Most that are followed, each through the same transport.
            deadlines: Those that the transport keeps to, where it knows any.
            transport: Makes the connections.
            elsewhere: Makes those of redirects that lead to another server; None: `transport` does.
        """
        quieten_libraries()  # httpx logs whole URLs and headers, keys among them
        self._max_bytes = max_bytes
        self._redirects = redirects
        self._deadlines = deadlines or Deadlines()
        self._client = _client(headers, timeout, transport)
        self._elsewhere = None if elsewhere is None else _client(headers, timeout, elsewhere)

    def within(self, seconds: float) -> AbstractContextManager[None]:
        """What this thread asks in the block has so many seconds in all; then `httpx.TimeoutException` is raised."""
        return self._deadlines.within(seconds)

    def is_over(self) -> bool:
        """Whether the time of this thread's block is over."""
        return self._deadlines.is_over()

    @contextmanager
    def ask(self, method: str, url: str, **options: Any) -> Iterator[httpx.Response]:
        """Send a request, as `httpx.Client.stream` does; the answer, whose body is still to be read."""
        asked = target = httpx.URL(url)
        client = self._client
        for _ in range(1 + self._redirects):
            with _told_where(target, client is self._elsewhere), client.stream(method, target, **options) as response:
                moved = response.extensions.get("location")
                if not self._redirects or response.status_code not in _MOVED or not moved:
                    yield response
                    return
                target = _joined(target, moved)
                _drain(response)
            if self._elsewhere is not None and not _is_same_server(asked, target):
                client = self._elsewhere  # from here on: a stranger may lead back too
        raise AnswerError(f"more than {self._redirects} redirects")

    def read(self, response: httpx.Response) -> bytes:
        """The body of an answer, unpacked."""
        declared = response.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self._max_bytes:  # believed only where it says too much
            raise self._too_large()
        packing = response.headers.get("content-encoding", "identity").lower()
        data = bytearray()
        for chunk in _unpacked(self._bounded(response), packing, self._max_bytes):
            data += chunk
            if len(data) > self._max_bytes:
                raise self._too_large()
        return bytes(data)

    def close(self) -> None:
        """End its connections."""
        self._client.close()
        if self._elsewhere is not None:
            self._elsewhere.close()

    def _bounded(self, response: httpx.Response) -> Iterator[bytes]:
        read = 0
        for chunk in response.iter_raw():
            read += len(chunk)
            if read > self._max_bytes:
                raise self._too_large()
            if self.is_over():  # a timeout counts anew for each read
                raise httpx.ReadTimeout("")
            yield chunk

    def _too_large(self) -> TooLargeError:
        return TooLargeError(f"more than {self._max_bytes} bytes")


def _client(headers: Mapping[str, str], timeout: httpx.Timeout, transport: httpx.BaseTransport | None) -> httpx.Client:
    return httpx.Client(
        headers=headers,
        timeout=timeout,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        transport=transport,
        trust_env=transport is None,
        event_hooks={"response": [_take_location]},
    )


def _is_same_server(asked: httpx.URL, target: httpx.URL) -> bool:
    """Whether a redirect stays on its server: the same host and port, or from http to https on their usual ports."""
    if asked.host != target.host:
        return False
    of_both = (asked.scheme, asked.port, target.scheme, target.port)
    return (asked.scheme, asked.port) == (target.scheme, target.port) or of_both == ("http", None, "https", None)


@contextmanager
def _told_where(target: httpx.URL, is_elsewhere: bool) -> Iterator[None]:
    """Raise `RedirectError`, with the host, where a redirect leads to what may not be reached."""
    try:
        yield
    except FetchError as error:
        if not is_elsewhere:
            raise
        if error.outcome is Outcome.REFUSED:
            raise RedirectError(f"a redirect to {target.host[:_SHOWN]!r}: {error}") from None
        raise httpx.ConnectError(f"of a redirect's host: {error}") from None


def _take_location(response: httpx.Response) -> None:
    """Take `Location` out of the headers: httpx parses it even where it follows nothing, and fails in its own words."""
    for name, value in response.headers.raw:
        if name.lower() == b"location":
            response.extensions["location"] = _text(value).strip()
    response.headers.pop("location", None)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _joined(url: httpx.URL, target: str) -> httpx.URL:
    try:
        moved = url.join(target)
    except (httpx.InvalidURL, ValueError):
        raise AnswerError("a redirect to what is no URL") from None
    if moved.scheme not in {"http", "https"}:
        raise RedirectError(f"a redirect to {moved.scheme}://")
    return moved


def _drain(response: httpx.Response) -> None:
    read = 0
    for chunk in response.iter_raw():
        read += len(chunk)
        if read > _SPARE_BYTES:
            return


def _unpacked(chunks: Iterable[bytes], packing: str, limit: int) -> Iterator[bytes]:
    """Unpack what is packed, also where nobody asked for it; no piece is larger than `limit` + 1 bytes."""
    if packing == "identity":
        yield from chunks
        return
    if packing not in {"gzip", "x-gzip", "deflate"}:
        raise PackingError(f"packed as {packing[:40]!r}, which was not asked for")
    unzip = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        for chunk in chunks:
            yield unzip.decompress(chunk, limit + 1)
    except zlib.error as error:
        raise AnswerError(f"not {packing} as it says: {error}") from None
