"""Fetch `http(s)` URLs with bounded time and memory, whatever the server does; with the SSRF guard and retries."""

import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, stop_before_delay
from tenacity.wait import wait_random_exponential

from connectors.deadlines import Deadlines
from connectors.fetching.address_policy import AddressPolicy
from connectors.fetching.connecting import Connecting, Resolve, resolve
from connectors.fetching.guarded_transport import GuardedTransport
from connectors.fetching.outcomes import FetchError, Outcome
from connectors.http_client import AnswerError, HttpClient, PackingError, RedirectError, TooLargeError
from core import __version__
from core.telemetry import FETCH_RETRIES
from core.times import seconds_to_wait

_MAX_REDIRECTS: Final = 5
_WORTH_ANOTHER_TRY: Final = frozenset({429, 500, 502, 503, 504})
_HEADERS: Final = MappingProxyType(
    {
        "user-agent": f"memewax/{__version__}",
        "accept": "image/*,*/*;q=0.5",
        "accept-encoding": "identity",
    }
)
_OUTCOMES: Final[Mapping[type[AnswerError], Outcome]] = MappingProxyType(
    {
        TooLargeError: Outcome.TOO_LARGE,
        PackingError: Outcome.UNSUPPORTED,
        RedirectError: Outcome.REFUSED,
    }
)
_FIRST_WAIT: Final = 0.5


@dataclass(frozen=True, slots=True)
class WebLimits:
    """Limits of fetching one URL."""

    concurrency: int
    """Maximum number of connections, active or idle."""
    bytes: int
    """Maximum size of the body, both compressed and decompressed."""
    seconds: float
    """Deadline for everything: DNS, connecting, redirects, retries and the waits between them."""
    connect_seconds: float
    read_seconds: float
    """Timeout between two reads."""
    tries: int


class WebFetcher:
    """HTTP client that refuses private addresses (SSRF guard); without cookies, proxies or a cache; thread-safe."""

    def __init__(
        self,
        limits: WebLimits,
        allowed: AddressPolicy,
        *,
        find: Resolve = resolve,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._limits = limits
        deadlines = Deadlines()
        self._http = HttpClient(
            _HEADERS,
            httpx.Timeout(limits.read_seconds, connect=limits.connect_seconds, pool=limits.seconds),
            max_bytes=limits.bytes,
            redirects=_MAX_REDIRECTS,
            deadlines=deadlines,
            transport=GuardedTransport(Connecting(allowed, deadlines, find), limits.concurrency),
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
        """Return the body at `url`; raises `FetchError`."""
        with self._http.within(self._limits.seconds):
            return self._retrying(self._try, url)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _try(self, url: str) -> bytes:
        try:
            with self._http.stream("GET", url) as response:
                _check(response)
                return self._http.read(response)
        except httpx.TimeoutException:
            if self._http.is_over():
                raise FetchError(Outcome.TIMEOUT, f"incomplete after {self._limits.seconds:g} s") from None
            raise FetchError(Outcome.TIMEOUT, "timeout while connecting or reading", again=True) from None
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            again = not _is_of_certificate(error)
            raise FetchError(Outcome.UNREACHABLE, str(error) or "the connection was closed", again=again) from error
        except (httpx.InvalidURL, httpx.LocalProtocolError):  # their messages may contain a password from the URL
            raise FetchError(Outcome.UNSUPPORTED, "not a valid URL") from None
        except AnswerError as error:
            raise FetchError(_OUTCOMES.get(type(error), Outcome.HTTP_ERROR), str(error)) from None


def _check(response: httpx.Response) -> None:
    """Raise `FetchError` unless the status is 2xx."""
    status = response.status_code
    if not 200 <= status < 300:
        after = seconds_to_wait(response.headers.get("retry-after"), time.time())
        raise FetchError(Outcome.HTTP_ERROR, f"HTTP {status}", again=status in _WORTH_ANOTHER_TRY, after=after)


def _is_of_certificate(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__
    return error is not None


_backoff: Final = wait_random_exponential(multiplier=_FIRST_WAIT)


def _wait(state: RetryCallState) -> float:
    """Return the server's Retry-After, if any, plus exponential back-off with jitter, so that clients spread out."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.after if isinstance(error, FetchError) else None
    return (asked or 0.0) + _backoff(state)
