"""Asking a web server, within bounds of time and size."""

import logging
from dataclasses import dataclass
from typing import Any, Final

import httpx

from connectors.services.clock import Clock

_MAX_BYTES: Final = 32 * 2**20

for _name in ("httpx", "httpcore"):  # they log whole URLs and headers, keys among them
    logging.getLogger(_name).setLevel(logging.WARNING)


class TroubleError(Exception):
    """What passes by itself: worth asking again."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    headers: httpx.Headers
    body: bytes


class Web:
    """A client of one server. Its errors name no URL, since a key may be part of one."""

    def __init__(self, seconds: float, clock: Clock, user_agent: str) -> None:
        self._seconds = seconds
        self._clock = clock
        self._client = httpx.Client(timeout=seconds, headers={"user-agent": user_agent})

    def ask(self, method: str, url: str, **options: Any) -> Answer:
        """Send a request; raises `TroubleError` where there is no whole answer in time.

        httpx counts its timeout anew for each read, so a body that trickles in has twice the time at most.
        """
        body = bytearray()
        end = self._clock.now() + self._seconds
        try:
            with self._client.stream(method, url, **options) as response:
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > _MAX_BYTES:
                        raise TroubleError(f"an answer of more than {_MAX_BYTES} bytes")
                    if self._clock.now() > end:
                        raise TroubleError(f"no whole answer within {self._seconds:g} s")
        except httpx.TimeoutException:
            raise TroubleError(f"no answer within {self._seconds:g} s") from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise TroubleError(f"{type(error).__name__}: {error}") from None
        return Answer(response.status_code, response.headers, bytes(body))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
