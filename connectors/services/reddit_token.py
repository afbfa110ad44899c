"""OAuth2 token of a Reddit application without a user (client credentials).

https://github.com/reddit-archive/reddit/wiki/OAuth2#application-only-oauth.
"""

import threading
from collections.abc import Mapping
from typing import Final

import orjson
from pydantic import SecretStr

from connectors.services.api_web import ApiWeb, TransientError
from connectors.services.clock import Clock
from core.errors import WorldError

_SPARE_SECONDS: Final = 60.0
"""A token is renewed this long before it expires."""


class Token:
    """The token that all readers of a process share; renewed before it expires and when Reddit rejects it."""

    variables = "MEMEWAX_REDDIT_CLIENT_ID and MEMEWAX_REDDIT_CLIENT_SECRET"

    def __init__(self, url: str, client_id: SecretStr, secret: SecretStr, clock: Clock) -> None:
        self._url = url
        self._client_id = client_id
        self._secret = secret
        self._clock = clock
        self._lock = threading.Lock()
        self._token: SecretStr | None = None
        self._expires_at = 0.0

    def headers(self, web: ApiWeb) -> Mapping[str, str]:
        """Return the authorization header; requests a token if there is no valid one."""
        with self._lock:
            if self._token is None or self._clock.now() >= self._expires_at:
                self._ask(web)
            assert self._token is not None
            return {"authorization": f"bearer {self._token.get_secret_value()}"}

    def params(self) -> Mapping[str, str]:
        """Return no parameters."""
        return {}

    def renew(self) -> bool:
        """Discard the rejected token; a new one may be accepted."""
        self._token = None
        return True

    def _ask(self, web: ApiWeb) -> None:
        key = (self._client_id.get_secret_value(), self._secret.get_secret_value())
        answer = web.request("POST", self._url, data={"grant_type": "client_credentials"}, auth=key)
        if answer.status == 429 or answer.status >= 500:
            raise TransientError(f"HTTP {answer.status} for a token")
        if answer.status != 200:
            raise WorldError(f"reddit grants no token (HTTP {answer.status}): check {self.variables}")
        try:
            body = orjson.loads(answer.body)
            token, seconds = body["access_token"], float(body["expires_in"])
        except (orjson.JSONDecodeError, TypeError, ValueError):
            raise TransientError("no token in the response") from None
        except KeyError:  # Reddit sends {"error": …} with status 200
            raise WorldError(f"reddit grants no token: check {self.variables}") from None
        self._token = SecretStr(str(token))
        self._expires_at = self._clock.now() + max(0.0, seconds - _SPARE_SECONDS)
