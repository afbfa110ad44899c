"""Who may see the page, how often, and what a browser may do with it."""

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
"""What may be sent to."""
_OPEN: Final = ("/healthz", "/login", "/static/")
"""What nobody needs a token for: whether it is there, and how it is asked for one."""
_REQUESTS_A_SECOND: Final = 50.0
_BURST: Final = 400.0
"""Requests: a wall has a hundred images."""
_LOGINS_A_SECOND: Final = 0.2
_LOGIN_BURST: Final = 10.0
_SENT_A_SECOND: Final = 1.0
_SENT_BURST: Final = 20.0
"""What costs more than looking: searches by an image, and requests to the flow."""
_CLIENTS: Final = 10_000
"""That are remembered."""
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
    """Who may see the page."""

    token: str = ""
    """That a visitor has to know; empty: none, which is for this machine alone."""
    is_secure: bool = False
    """Whether visitors come over TLS, here or at a proxy before it."""
    may_replay: bool = False
    """Whether visitors may ask the flow to read dead letters once more."""
    secret: str = field(default_factory=secrets.token_urlsafe, compare=False, repr=False)
    """That stands in forms that change something, so that no other site can send them; another one in each process."""
    hosts: frozenset[str] = frozenset({"localhost", "127.0.0.1", "::1"})
    """Names by which it may be asked for without a token: another page's name that leads here is refused."""

    def is_token(self, given: str) -> bool:
        """Whether this is the token; takes as long whatever is given."""
        return hmac.compare_digest(_digest(given), _digest(self.token))

    @property
    def cookie(self) -> str:
        """What a visitor who gave the token is known by; the token does not follow from it."""
        return hmac.new(self.token.encode(), b"memewax page", sha256).hexdigest()

    def is_our_form(self, secret: str) -> bool:
        """Whether a form that was sent is one that this page gave."""
        return hmac.compare_digest(_digest(secret), _digest(self.secret))

    def lets_in(self, connection: HTTPConnection) -> bool:
        """Whether a request brings the token, or the cookie for it."""
        if not self.token:
            return True
        kind, _, given = connection.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.is_token(given):
            return True
        return hmac.compare_digest(_digest(connection.cookies.get(COOKIE, "")), _digest(self.cookie))


class Rates:
    """How often each client may ask: so many a second, and some more at once."""

    def __init__(self, a_second: float, burst: float, now: Callable[[], float] = time.monotonic) -> None:
        self._a_second, self._burst, self._now = a_second, burst, now
        self._left: BoundedDict[str, tuple[float, float]] = BoundedDict(_CLIENTS)

    def takes(self, client: str) -> bool:
        """Whether a client may ask once more now."""
        now = self._now()
        left, since = self._left.get(client, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._a_second)
        self._left[client] = max(0.0, left - 1), now
        return left >= 1


class Guard:
    """Answers what may not be answered, and gives every answer its headers."""

    def __init__(self, app: ASGIApp, access: Access, now: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._access = access
        self._requests = Rates(_REQUESTS_A_SECOND, _BURST, now)
        self._logins = Rates(_LOGINS_A_SECOND, _LOGIN_BURST, now)
        self._sent = Rates(_SENT_A_SECOND, _SENT_BURST, now)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
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
            return _told(421, "this page is asked for as localhost or 127.0.0.1")
        if method not in {"GET", "HEAD"} and (method != "POST" or path not in _SENT):
            return _told(405, "expected GET or HEAD")
        is_visit = request.headers.get("sec-fetch-mode") == "navigate" and method == "GET"
        if _is_of_another_site(request.headers, is_sent=method == "POST") and not is_visit:
            return _told(403, "another site may not ask in a visitor's name")
        rates = self._requests if method != "POST" else self._logins if path == "/login" else self._sent
        if not rates.takes(client):
            return PlainTextResponse("too many requests: wait a second\n", 429, {"Retry-After": "5"})
        is_open = path.startswith(_OPEN) or self._access.lets_in(request)
        return None if is_open else _ask_for_token(request)


def _ask_for_token(request: HTTPConnection) -> Response:
    if "text/html" in request.headers.get("accept", "") and not request.scope["path"].startswith("/api/"):
        return RedirectResponse("/login", 303)
    told = "a token is needed: Authorization: Bearer TOKEN\n"
    return PlainTextResponse(told, 401, {"WWW-Authenticate": "Bearer"})


def _told(status: int, line: str) -> Response:
    return PlainTextResponse(f"{line}\n", status)


def _is_of_another_site(headers: Headers, *, is_sent: bool) -> bool:
    """Whether another site's page asks; old browsers do not say so, but where they send something, from which page."""
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
