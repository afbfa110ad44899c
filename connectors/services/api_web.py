"""HTTP requests to the server of a service; error messages leave the URL out, since it may contain a key."""

from dataclasses import dataclass
from typing import Any, Final

import httpx

from connectors.deadlines import Deadlines
from connectors.fetching.address_policy import AddressPolicy
from connectors.fetching.connecting import Connecting
from connectors.fetching.guarded_transport import GuardedTransport
from connectors.http_client import AnswerError, HttpClient, RedirectError, TooLargeError

_MAX_BYTES: Final = 32 * 2**20
_PUBLIC: Final = AddressPolicy()


class TransientError(Exception):
    """An error that passes by itself: worth a retry."""


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """A response of a server."""

    status: int
    headers: httpx.Headers
    body: bytes


class ApiWeb:
    """HTTP client of one server, which the settings name.

    Args:
        seconds: Timeout of one request.
        user_agent: User-Agent header.
        redirects: Maximum number of redirects to follow.
        allowed: Addresses that redirects to other servers may lead to (SSRF guard); the server's own may be any.
    """

    def __init__(self, seconds: float, user_agent: str, redirects: int = 0, allowed: AddressPolicy = _PUBLIC) -> None:
        self._seconds = seconds
        deadlines = Deadlines()
        self._http = HttpClient(
            {"user-agent": user_agent, "accept-encoding": "gzip"},
            httpx.Timeout(seconds),
            max_bytes=_MAX_BYTES,
            redirects=redirects,
            deadlines=deadlines,
            elsewhere=GuardedTransport(Connecting(allowed, deadlines), connections=1) if redirects else None,
        )

    def request(self, method: str, url: str, **options: Any) -> ApiAnswer:
        """Send a request and read the response.

        The deadline is checked after each read, so a body that trickles in takes at most twice the timeout.

        Raises:
            TransientError: if there is no complete response in time.
            RedirectError: if a redirect leads to an address that is not allowed.
        """
        with self._http.within(self._seconds):
            try:
                with self._http.stream(method, url, **options) as response:
                    return ApiAnswer(response.status_code, response.headers, self._http.read(response))
            except httpx.TimeoutException:
                answer = "complete response" if self._http.is_over() else "response"
                raise TransientError(f"no {answer} within {self._seconds:g} s") from None
            except httpx.TransportError as error:
                raise TransientError(f"{type(error).__name__}: {error}") from None
            except TooLargeError as error:
                raise TransientError(f"a response of {error}") from None
            except RedirectError:  # a retry would be redirected likewise
                raise
            except AnswerError as error:
                raise TransientError(f"an unusable response: {error}") from None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
