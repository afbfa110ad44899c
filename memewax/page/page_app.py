"""The page as an application: API, views, images, downloads and events, behind one guard."""

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
_TITLES: Final = {400: "That cannot be asked", 404: "There is no such page", 503: "The store cannot be read just now"}


def make_app(
    reader: StoreReader, data: PageData, access: Access, most_upload: int, ending: Event | None = None
) -> Starlette:
    """The application.

    Args:
        reader: Of the store.
        data: What is known of it.
        access: Who may see it.
        most_upload: Bytes of an image that a visitor sends.
        ending: Set when the server ends: those who follow what comes are let go then.
    """
    uploads = Uploads(most_upload)
    views = PageViews(data, reader.window, uploads, access.secret if access.may_replay else "")

    async def on_error(request: Request, error: Exception) -> Response:
        status, line = _told(error)
        if request.url.path.startswith(PREFIX):
            return Response(safe_json({"error": line}), status, media_type="application/json")
        return await run_in_threadpool(views.told, status, _TITLES.get(status, "That did not work"), line)

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


def _told(error: Exception) -> tuple[int, str]:
    if isinstance(error, HTTPException):
        return error.status_code, "" if error.status_code == 404 else error.detail
    return (400 if isinstance(error, BadRecordError) else 503), str(error)


class _Replays:
    """Asks the flow to read dead letters once more, where visitors may do so."""

    def __init__(self, data: PageData, access: Access) -> None:
        self._data, self._access = data, access

    async def answer(self, request: Request) -> Response:
        """Do what the form asks, and go back to the view; 403 where it may not be asked."""
        if not self._access.may_replay:
            raise HTTPException(403, "visitors may not replay: whoever starts the page allows it with --allow-replay")
        form = await _form_of(request)
        if not self._access.is_our_form(form.get("secret", "")):
            raise HTTPException(403, "this form is not of this page, or is older than it: load the view again")
        count = await run_in_threadpool(self._data.replay, form.get("stage", ""), form.get("cause", ""))
        return RedirectResponse(f"/dead-letters?asked={count}", 303)


async def _form_of(request: Request) -> dict[str, str]:
    """The first value of each field of a small form; raises `HTTPException` where it is large."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _FORM_BYTES:
            raise HTTPException(413)
    return {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}


class _Door:
    """Takes the token of a visitor, and gives a cookie for it."""

    def __init__(self, access: Access, views: PageViews) -> None:
        self._access, self._views = access, views

    def routes(self) -> list[Route]:
        """Its paths."""
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
