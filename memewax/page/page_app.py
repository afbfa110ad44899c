"""The ASGI application of the page: API, views, images, downloads and events, behind one guard."""

from threading import Event
from typing import Final
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from core.errors import BadRecordError, WorldError
from core.untrusted_text import safe_json
from memewax.page.page_access import COOKIE, Access, Guard
from memewax.page.page_api import PREFIX, api_routes
from memewax.page.page_data import PageData
from memewax.page.page_downloads import Downloads
from memewax.page.page_events import LiveEvents
from memewax.page.page_files import PageFiles
from memewax.page.page_uploads import Uploads
from memewax.page.page_views import PageViews
from search.store_reader import StoreReader

_FORM_BYTES: Final = 4096
_COOKIE_SECONDS: Final = 30 * 86_400
_TITLES: Final = {400: "Invalid request", 404: "Page not found", 503: "The store cannot be read at the moment"}


def make_app(
    reader: StoreReader, data: PageData, access: Access, most_upload: int, ending: Event | None = None
) -> Starlette:
    """Return the application.

    Args:
        reader: Reader of the store.
        data: Data for API and views.
        access: Access rules.
        most_upload: Maximum size of an uploaded image in bytes.
        ending: Set when the server shuts down, to end the streams of events.
    """
    uploads = Uploads(most_upload)
    views = PageViews(data, reader.window, uploads, access.secret if access.may_replay else "")

    async def on_error(request: Request, error: Exception) -> Response:
        status, line = _status_and_reason(error)
        if request.url.path.startswith(PREFIX):
            return Response(safe_json({"error": line}), status, media_type="application/json")
        return await run_in_threadpool(views.message, status, _TITLES.get(status, "Request failed"), line)

    return Starlette(
        routes=[
            *views.routes(),
            *api_routes(data, uploads),
            *PageFiles(reader, views).routes(),
            Route("/take-away/{what}.{form}", Downloads(reader, data).answer),
            *_Door(access, views).routes(),
            Route("/dead-letters/replay", _Replays(data, access).answer, methods=["POST"]),
            Route("/events", LiveEvents(views, ending or Event()).answer),
        ],
        middleware=[Middleware(Guard, access=access)],
        exception_handlers={BadRecordError: on_error, WorldError: on_error, HTTPException: on_error},
    )


def _status_and_reason(error: Exception) -> tuple[int, str]:
    if isinstance(error, HTTPException):
        return error.status_code, "" if error.status_code == 404 else error.detail
    return (400 if isinstance(error, BadRecordError) else 503), str(error)


class _Replays:
    """Requests replays of dead letters, if visitors may do so."""

    def __init__(self, data: PageData, access: Access) -> None:
        self._data, self._access = data, access

    async def answer(self, request: Request) -> Response:
        """Request a replay and redirect to the view; 403 if it is not allowed or the form is not from this page."""
        if not self._access.may_replay:
            raise HTTPException(403, "replays are disabled: start the page with --allow-replay to enable them")
        form = await _form_of(request)
        if not self._access.is_our_form(form.get("secret", "")):
            raise HTTPException(403, "the form is outdated or from another site: reload the page")
        count = await run_in_threadpool(self._data.replay, form.get("stage", ""), form.get("cause", ""))
        return RedirectResponse(f"/dead-letters?asked={count}", 303)


async def _form_of(request: Request) -> dict[str, str]:
    """Return the first value of each field of a small form; raises `HTTPException` if it is large."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _FORM_BYTES:
            raise HTTPException(413)
    return {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}


class _Door:
    """Login: exchanges the token for a cookie."""

    def __init__(self, access: Access, views: PageViews) -> None:
        self._access, self._views = access, views

    def routes(self) -> list[Route]:
        """Return the routes of the login."""
        return [Route("/login", self._ask, methods=["GET"]), Route("/login", self._take, methods=["POST"])]

    def _ask(self, _: Request) -> Response:
        return self._views.login(is_wrong=False)

    async def _take(self, request: Request) -> Response:
        given = (await _form_of(request)).get("token", "")
        if not self._access.token or not self._access.is_token(given):
            return self._views.login(is_wrong=True)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            COOKIE, self._access.cookie, _COOKIE_SECONDS, httponly=True, samesite="lax", secure=self._access.is_secure
        )
        return answer
