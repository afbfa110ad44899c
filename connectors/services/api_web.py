"""Asking the server of a service; what went wrong is told without its URL, since a key may be part of one."""

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
    """What passes by itself: worth asking again."""


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """What a server said."""

    status: int
    headers: httpx.Headers
    body: bytes


class ApiWeb:
    """A client of one server, which the settings name.

    Args:
        seconds: For one request.
        user_agent: Who asks.
        redirects: Most that are followed.
        allowed: Where those to other servers may lead; the server's own address may be any.
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

    def ask(self, method: str, url: str, **options: Any) -> ApiAnswer:
        """Send a request; raises `TransientError` where there is no whole answer in time.

        Raises `RedirectError` where a redirect leads to where it may not.

        The time of all of it is looked at after each read, so a body that trickles in has twice the time at most.
        """
        with self._http.within(self._seconds):
            try:
                with self._http.ask(method, url, **options) as response:
                    return ApiAnswer(response.status_code, response.headers, self._http.read(response))
            except httpx.TimeoutException:
                answer = "whole answer" if self._http.is_over() else "answer"
                raise TransientError(f"no {answer} within {self._seconds:g} s") from None
            except httpx.TransportError as error:
                raise TransientError(f"{type(error).__name__}: {error}") from None
            except TooLargeError as error:
                raise TransientError(f"an answer of {error}") from None
            except RedirectError:  # which asking again would not change
                raise
            except AnswerError as error:
                raise TransientError(f"an answer that cannot be used: {error}") from None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
