"""HTTP client with limits on time, size and redirects.

To fetch strangers' images, pass a transport that refuses private addresses (SSRF guard). For a server that the settings
name, use httpx's own transport, which respects the environment's proxies, and guard only redirects to other servers,
since a stranger may have chosen their targets.
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
"""Maximum characters of a host in an error."""
_SPARE_BYTES: Final = 65_536
"""Maximum size of a redirect's body to read, so that its connection can be reused."""


class AnswerError(Exception):
    """A response that cannot be used."""


class TooLargeError(AnswerError):
    """A response larger than the limit."""


class PackingError(AnswerError):
    """A response with a content encoding that was not requested."""


class RedirectError(AnswerError):
    """A redirect to another scheme than http(s), or to a refused address."""


class HttpClient:
    """An httpx client without cookies, with size limit and deadlines; thread-safe.

    Its methods raise `AnswerError`, `httpx.InvalidURL` and `httpx.TransportError`.
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
        """Create a client without connecting yet.

        Args:
            headers: Headers of each request.
            timeout: Timeouts of each connection, read and write.
            max_bytes: Maximum size of a body, both compressed and decompressed.
            redirects: Maximum number of redirects to follow.
            deadlines: Deadlines that the transport observes, if any.
            transport: Opens the connections; by default httpx's own.
            elsewhere: Transport for redirects to another server; by default `transport`.
        """
        quieten_libraries()  # httpx logs complete URLs and headers, including keys
        self._max_bytes = max_bytes
        self._redirects = redirects
        self._deadlines = deadlines or Deadlines()
        self._client = _client(headers, timeout, transport)
        self._elsewhere = None if elsewhere is None else _client(headers, timeout, elsewhere)

    def within(self, seconds: float) -> AbstractContextManager[None]:
        """Set a deadline for this thread's requests in the block; after it they raise `httpx.TimeoutException`."""
        return self._deadlines.within(seconds)

    def is_over(self) -> bool:
        """Check whether this thread's deadline has passed."""
        return self._deadlines.is_over()

    @contextmanager
    def stream(self, method: str, url: str, **options: Any) -> Iterator[httpx.Response]:
        """Send a request like `httpx.Client.stream`, following redirects; yield the response, its body still unread."""
        asked = target = httpx.URL(url)
        client = self._client
        for _ in range(1 + self._redirects):
            with (
                _redirect_errors(target, client is self._elsewhere),
                client.stream(method, target, **options) as response,
            ):
                moved = response.extensions.get("location")
                if not self._redirects or response.status_code not in _MOVED or not moved:
                    yield response
                    return
                target = _joined(target, moved)
                _drain(response)
            if self._elsewhere is not None and not _is_same_server(asked, target):
                client = self._elsewhere  # also for all later redirects: a stranger may redirect back
        raise AnswerError(f"more than {self._redirects} redirects")

    def read(self, response: httpx.Response) -> bytes:
        """Return the decompressed body of a response; raises `AnswerError`."""
        declared = response.headers.get("content-length", "")
        if (
            declared.isdecimal() and int(declared) > self._max_bytes
        ):  # trusted only if too large: a smaller value may be a lie
            raise self._too_large()
        packing = response.headers.get("content-encoding", "identity").lower()
        data = bytearray()
        for chunk in _unpacked(self._bounded(response), packing, self._max_bytes):
            data += chunk
            if len(data) > self._max_bytes:
                raise self._too_large()
        return bytes(data)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        if self._elsewhere is not None:
            self._elsewhere.close()

    def _bounded(self, response: httpx.Response) -> Iterator[bytes]:
        read = 0
        for chunk in response.iter_raw():
            read += len(chunk)
            if read > self._max_bytes:
                raise self._too_large()
            if self.is_over():  # a timeout restarts with each read
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
    """Check whether a redirect stays on its server: same host and port, or http to https on their default ports."""
    if asked.host != target.host:
        return False
    of_both = (asked.scheme, asked.port, target.scheme, target.port)
    return (asked.scheme, asked.port) == (target.scheme, target.port) or of_both == ("http", None, "https", None)


@contextmanager
def _redirect_errors(target: httpx.URL, is_elsewhere: bool) -> Iterator[None]:
    """Convert the refusal of a redirect's target to `RedirectError` with the host."""
    try:
        yield
    except FetchError as error:
        if not is_elsewhere:
            raise
        if error.outcome is Outcome.REFUSED:
            raise RedirectError(f"a redirect to {target.host[:_SHOWN]!r}: {error}") from None
        raise httpx.ConnectError(f"host of a redirect: {error}") from None


def _take_location(response: httpx.Response) -> None:
    """Move `Location` to the extensions: httpx parses it even if it follows no redirects, with errors of its own."""
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
        raise AnswerError("a redirect to an invalid URL") from None
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
    """Decompress chunks, even if compression was not requested, into pieces of at most `limit` + 1 bytes."""
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
