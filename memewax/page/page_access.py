"""Access control of the page: token, rate limits, CSRF and DNS-rebinding protection, security headers."""

import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.bounded_dict import BoundedDict

COOKIE: Final = "memewax"
_SENT: Final = frozenset({"/login", "/search", "/api/v1/search", "/dead-letters/replay"})
"""Paths that accept POST."""
_OPEN: Final = ("/healthz", "/login", "/static/")
"""Path prefixes that need no token: the health check and the login."""
_REQUESTS_A_SECOND: Final = 50.0
_BURST: Final = 400.0
"""Burst of requests: a page of clusters has a hundred images."""
_LOGINS_A_SECOND: Final = 0.2
_LOGIN_BURST: Final = 10.0
_SENT_A_SECOND: Final = 1.0
_SENT_BURST: Final = 20.0
"""For expensive requests: searches by image, and replays."""
_CLIENTS: Final = 10_000
"""Maximum clients whose rates are remembered."""
_POLICY: Final = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


@dataclass(frozen=True, slots=True)
class Access:
    """Access rules of the page."""

    token: str = ""
    """Token that visitors must give; empty for none, which is only for this machine."""
    is_secure: bool = False
    """Whether visitors connect by TLS, here or at a proxy in front."""
    may_replay: bool = False
    """Whether visitors may replay dead letters."""
    secret: str = field(default_factory=secrets.token_urlsafe, compare=False, repr=False)
    """CSRF token of forms that change something; different in each process."""
    hosts: frozenset[str] = frozenset({"localhost", "127.0.0.1", "::1"})
    """Host names allowed without a token; others are refused, against DNS rebinding."""

    def is_token(self, given: str) -> bool:
        """Check the token in constant time."""
        return hmac.compare_digest(_digest(given), _digest(self.token))

    @property
    def cookie(self) -> str:
        """Return the cookie value of a visitor who gave the token; it does not reveal the token."""
        return hmac.new(self.token.encode(), b"memewax page", sha256).hexdigest()

    def is_our_form(self, secret: str) -> bool:
        """Check the CSRF token of a form."""
        return hmac.compare_digest(_digest(secret), _digest(self.secret))

    def lets_in(self, connection: HTTPConnection) -> bool:
        """Check whether a request has the token or its cookie."""
        if not self.token:
            return True
        kind, _, given = connection.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.is_token(given):
            return True
        return hmac.compare_digest(_digest(connection.cookies.get(COOKIE, "")), _digest(self.cookie))


class Rates:
    """Token-bucket rate limit for each client."""

    def __init__(self, a_second: float, burst: float, now: Callable[[], float] = time.monotonic) -> None:
        self._a_second, self._burst, self._now = a_second, burst, now
        self._left: BoundedDict[str, tuple[float, float]] = BoundedDict(_CLIENTS)

    def takes(self, client: str) -> bool:
        """Take one request from a client's bucket; return False if it is empty."""
        now = self._now()
        left, since = self._left.get(client, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._a_second)
        self._left[client] = max(0.0, left - 1), now
        return left >= 1


class Guard:
    """ASGI middleware that refuses forbidden requests and adds security headers to every response."""

    def __init__(self, app: ASGIApp, access: Access, now: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._access = access
        self._requests = Rates(_REQUESTS_A_SECOND, _BURST, now)
        self._logins = Rates(_LOGINS_A_SECOND, _LOGIN_BURST, now)
        self._sent = Rates(_SENT_A_SECOND, _SENT_BURST, now)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(HTTPConnection(scope))
        await (refusal or self._app)(scope, receive, with_headers)

    def _refusal(self, request: HTTPConnection) -> Response | None:
        path, method = request.scope["path"], request.scope["method"]
        client = request.client.host if request.client else ""
        if not self._access.token and _host(request.headers) not in self._access.hosts:
            return _refused(421, "unexpected host name: open this page as localhost or 127.0.0.1")
        if method not in {"GET", "HEAD"} and (method != "POST" or path not in _SENT):
            return _refused(405, "expected GET or HEAD")
        is_visit = request.headers.get("sec-fetch-mode") == "navigate" and method == "GET"
        if _is_of_another_site(request.headers, is_sent=method == "POST") and not is_visit:
            return _refused(403, "requests from another site are refused")
        rates = self._requests if method != "POST" else self._logins if path == "/login" else self._sent
        if not rates.takes(client):
            return PlainTextResponse("too many requests: wait a second\n", 429, {"Retry-After": "5"})
        is_open = path.startswith(_OPEN) or self._access.lets_in(request)
        return None if is_open else _ask_for_token(request)


def _ask_for_token(request: HTTPConnection) -> Response:
    if "text/html" in request.headers.get("accept", "") and not request.scope["path"].startswith("/api/"):
        return RedirectResponse("/login", 303)
    text = "a token is needed: Authorization: Bearer TOKEN\n"
    return PlainTextResponse(text, 401, {"WWW-Authenticate": "Bearer"})


def _refused(status: int, line: str) -> Response:
    return PlainTextResponse(f"{line}\n", status)


def _is_of_another_site(headers: Headers, *, is_sent: bool) -> bool:
    """Check whether another site sent a request; old browsers tell only the origin of POST requests."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in {"cross-site", "same-site"}
    origin = headers.get("origin")
    return is_sent and origin is not None and origin.partition("://")[2] != headers.get("host", "")


def _host(headers: Headers) -> str:
    try:
        return urlsplit(f"//{headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


def _digest(text: str) -> bytes:
    return sha256(text.encode(errors="surrogatepass")).digest()
