"""Asking the server of a service; what went wrong is told without its URL, since a key may be part of one."""

from dataclasses import dataclass
from typing import Any, Final

import httpx

from connectors.http_client import AnswerError, HttpClient, TooLargeError

_MAX_BYTES: Final = 32 * 2**20


class TroubleError(Exception):
    """What passes by itself: worth asking again."""


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """What a server said."""

    status: int
    headers: httpx.Headers
    body: bytes


class ApiWeb:
    """A client of one server, which the settings name."""

    def __init__(self, seconds: float, user_agent: str, redirects: int = 0) -> None:
        self._seconds = seconds
        headers = {"user-agent": user_agent, "accept-encoding": "gzip"}
        self._http = HttpClient(headers, httpx.Timeout(seconds), max_bytes=_MAX_BYTES, redirects=redirects)

    def ask(self, method: str, url: str, **options: Any) -> ApiAnswer:
        """Send a request; raises `TroubleError` where there is no whole answer in time.

        The time of all of it is looked at after each read, so a body that trickles in has twice the time at most.
        """
        with self._http.within(self._seconds):
            try:
                with self._http.ask(method, url, **options) as response:
                    return ApiAnswer(response.status_code, response.headers, self._http.read(response))
            except httpx.TimeoutException:
                answer = "whole answer" if self._http.is_over() else "answer"
                raise TroubleError(f"no {answer} within {self._seconds:g} s") from None
            except httpx.TransportError as error:
                raise TroubleError(f"{type(error).__name__}: {error}") from None
            except TooLargeError as error:
                raise TroubleError(f"an answer of {error}") from None
            except AnswerError as error:
                raise TroubleError(f"an answer that cannot be used: {error}") from None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
