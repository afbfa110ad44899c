"""Bytes from `http(s)` URLs, at a bounded cost in time and memory, whatever the server does."""

import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

import httpcore
import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, stop_before_delay
from tenacity.wait import wait_random_exponential

from connectors.fetching.allowed import Allowed
from connectors.fetching.connecting import Connecting, Resolve, resolve
from connectors.fetching.deadlines import Deadlines
from connectors.fetching.outcomes import FetchError, Outcome
from connectors.fetching.responses import header, unpacked
from core import __version__
from core.telemetry import FETCH_RETRIES
from core.times import seconds_to_wait

_MAX_REDIRECTS: Final = 5
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_WORTH_ANOTHER_TRY: Final = frozenset({429, 500, 502, 503, 504})
_SPARE_BYTES: Final = 65_536
"""A redirect's body of at most so many bytes is read, so that its connection can be used again."""
_KEEP_SECONDS: Final = 30.0
_FIRST_WAIT: Final = 0.5


@dataclass(frozen=True, slots=True)
class WebLimits:
    """What one URL may cost."""

    concurrency: int
    """Connections at the same time, used or kept for the next request."""
    bytes: int
    """Most that is read, as it comes and as it is unpacked."""
    seconds: float
    """In all: resolving, connecting, redirects, tries and the waits between them."""
    connect_seconds: float
    read_seconds: float
    """Between two bytes."""
    tries: int


class Web:
    """A client without cookies, proxies or memory of its visits; its methods may be called by many threads."""

    def __init__(
        self,
        limits: WebLimits,
        allowed: Allowed,
        *,
        find: Resolve = resolve,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._limits = limits
        self._deadlines = Deadlines()
        self._timeouts = {
            "connect": limits.connect_seconds,
            "read": limits.read_seconds,
            "write": limits.read_seconds,
            "pool": limits.seconds,
        }
        self._pool = httpcore.ConnectionPool(
            httpx.create_ssl_context(),
            max_connections=limits.concurrency,
            max_keepalive_connections=limits.concurrency,
            keepalive_expiry=_KEEP_SECONDS,
            network_backend=Connecting(allowed, self._deadlines, find),
        )
        self._retrying = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, FetchError) and error.again),
            stop=stop_after_attempt(limits.tries) | stop_before_delay(limits.seconds),
            wait=_wait,
            sleep=sleep,
            before_sleep=lambda _: FETCH_RETRIES.inc(),
            reraise=True,
        )

    def get(self, url: str) -> bytes:
        """What lies at `url`; raises `FetchError`."""
        with self._deadlines.within(self._limits.seconds):
            return self._retrying(self._try, url)

    def close(self) -> None:
        """End its connections."""
        self._pool.close()

    def _try(self, url: str) -> bytes:
        try:
            return self._follow(httpx.URL(url))
        except httpcore.TimeoutException:
            if self._deadlines.is_over():
                raise FetchError(Outcome.TIMEOUT, f"not there after {self._limits.seconds:g} s") from None
            raise FetchError(Outcome.TIMEOUT, "no connection, or no next byte, in time", again=True) from None
        except (httpcore.NetworkError, httpcore.RemoteProtocolError) as error:
            again = not isinstance(error.__cause__, ssl.SSLCertVerificationError)
            raise FetchError(Outcome.UNREACHABLE, str(error) or "the connection broke off", again=again) from error
        except (httpx.InvalidURL, httpcore.LocalProtocolError):  # whose texts may hold a password of the URL
            raise FetchError(Outcome.UNSUPPORTED, "no URL that can be fetched") from None

    def _follow(self, url: httpx.URL) -> bytes:
        for _ in range(1 + _MAX_REDIRECTS):
            target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
            with self._pool.stream(
                "GET", target, headers=_headers(url), extensions={"timeout": self._timeouts}
            ) as response:
                moved = header(response, b"location")
                if response.status not in _MOVED or not moved:
                    return self._read(response)
                url = _joined(url, moved)
                _drain(response)
        raise FetchError(Outcome.HTTP_ERROR, f"more than {_MAX_REDIRECTS} redirects")

    def _read(self, response: httpcore.Response) -> bytes:
        if not 200 <= response.status < 300:
            again = response.status in _WORTH_ANOTHER_TRY
            after = seconds_to_wait(header(response, b"retry-after"), time.time())
            raise FetchError(Outcome.HTTP_ERROR, f"HTTP {response.status}", again=again, after=after)
        declared = header(response, b"content-length") or ""
        if declared.isdecimal() and int(declared) > self._limits.bytes:  # believed only where it says too much
            raise self._too_large()
        data = bytearray()
        for chunk in unpacked(self._bounded(response.iter_stream()), response, self._limits.bytes):
            data += chunk
            if len(data) > self._limits.bytes:
                raise self._too_large()
        return bytes(data)

    def _bounded(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        read = 0
        for chunk in chunks:
            read += len(chunk)
            if read > self._limits.bytes:
                raise self._too_large()
            yield chunk

    def _too_large(self) -> FetchError:
        return FetchError(Outcome.TOO_LARGE, f"more than {self._limits.bytes} bytes")


def _headers(url: httpx.URL) -> list[tuple[str, str]]:
    headers = [
        ("user-agent", f"memewax/{__version__}"),
        ("accept", "image/*,*/*;q=0.5"),
        ("accept-encoding", "identity"),
    ]
    if url.userinfo:
        headers.append(("authorization", f"Basic {b64encode(unquote_to_bytes(url.userinfo)).decode()}"))
    return headers


def _joined(url: httpx.URL, target: str) -> httpx.URL:
    try:
        moved = url.join(target)
    except (httpx.InvalidURL, ValueError):
        raise FetchError(Outcome.HTTP_ERROR, "a redirect to what is no URL") from None
    if moved.scheme not in {"http", "https"}:
        raise FetchError(Outcome.REFUSED, f"a redirect to {moved.scheme}://")
    return moved


def _drain(response: httpcore.Response) -> None:
    read = 0
    for chunk in response.iter_stream():
        read += len(chunk)
        if read > _SPARE_BYTES:
            return


_backoff: Final = wait_random_exponential(multiplier=_FIRST_WAIT)


def _wait(state: RetryCallState) -> float:
    """As long as the server asks for, or twice as long each time; with jitter, since others wait too."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.after if isinstance(error, FetchError) else None
    return (asked or 0.0) + _backoff(state)
