"""The page as an application: API, views, pictures, downloads and events, behind one guard."""

from threading import Event
from typing import Final, cast
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from core.errors import BadRecordError, WorldError
from core.stranger_text import safe_json
from memewax.page.page_access import COOKIE, Access, Guard
from memewax.page.page_api import PREFIX, api_routes
from memewax.page.page_data import PageData
from memewax.page.page_downloads import MEDIA, DownloadForm, clusters_file, network_file, posts_file
from memewax.page.page_events import LiveEvents
from memewax.page.page_queries import order_of, post_filter
from memewax.page.page_uploads import Uploads
from memewax.page.page_views import PageViews
from search.store_reader import StoreReader

_KEPT: Final = "private, max-age=31536000, immutable"
"""Of a small picture: its address says what it is."""
_STATIC: Final = "private, max-age=300"
_FORM_BYTES: Final = 4096
_COOKIE_SECONDS: Final = 30 * 86_400
_ICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="4" fill="#8a3b12"/>'
    '<circle cx="6" cy="6" r="2.5" fill="#ffe2a8"/><circle cx="10.5" cy="10" r="3.5" fill="#e6b422"/></svg>'
)
_NO_PICTURE: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 240"><rect width="320" height="240" fill="#8886"/>'
    '<text x="160" y="125" text-anchor="middle" font-family="sans-serif" font-size="18" fill="#777">'
    "no small picture is kept</text></svg>"
)


_STYLES: Final = {"page.css": "text/css", "page.js": "text/javascript"}
_TITLES: Final = {400: "That cannot be asked", 404: "There is no such page", 503: "The store cannot be read just now"}


def make_app(
    reader: StoreReader, data: PageData, access: Access, most_upload: int, ending: Event | None = None
) -> Starlette:
    """The application.

    Args:
        reader: Of the store.
        data: What is known of it.
        access: Who may see it.
        most_upload: Bytes of a picture that a visitor sends.
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
            *_Files(reader, data, views).routes(),
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


class _Files:
    """Answers that are no views: pictures, styles, downloads, and whether it is well."""

    def __init__(self, reader: StoreReader, data: PageData, views: PageViews) -> None:
        self._reader, self._data = reader, data
        self._texts = {name: views.text(name) for name in _STYLES}

    def routes(self) -> list[Route]:
        """Their paths."""
        return [
            Route("/healthz", self._healthz),
            Route("/static/{name}", self._static),
            Route("/thumbnail/{key}", self._thumbnail),
            Route("/take-away/{what}.{form}", self._take_away),
        ]

    def _healthz(self, _: Request) -> Response:
        self._reader.versions()
        return PlainTextResponse("ok\n")

    def _static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name == "icon.svg":
            return Response(_ICON, media_type="image/svg+xml", headers={"Cache-Control": _STATIC})
        if name not in _STYLES:
            raise HTTPException(404)
        return Response(self._texts[name], media_type=_STYLES[name], headers={"Cache-Control": _STATIC})

    def _thumbnail(self, request: Request) -> Response:
        key = request.path_params["key"]
        found = self._reader.thumbnail(key) if len(key) == 64 and key.isalnum() and key.isascii() else None
        if found is None:
            return Response(_NO_PICTURE, 404, media_type="image/svg+xml")
        return Response(found.webp, media_type="image/webp", headers={"Cache-Control": _KEPT})

    def _take_away(self, request: Request) -> Response:
        what, query = request.path_params["what"], request.query_params
        if request.path_params["form"] not in MEDIA:
            raise HTTPException(404)
        form = cast("DownloadForm", request.path_params["form"])
        if what == "network" or request.path_params["form"] == "gexf":
            if (what, request.path_params["form"]) != ("network", "gexf"):
                raise HTTPException(404)
            path = network_file(self._reader, self._data.chosen_clusters(order_of(query), post_filter(query)))
        elif what == "posts":
            path = posts_file(self._reader, self._data.chosen(post_filter(query)), form)
        elif what == "clusters":
            chosen = self._data.chosen_clusters(order_of(query), post_filter(query))
            path = clusters_file(self._reader, chosen, form)
        else:
            raise HTTPException(404)
        gone = BackgroundTask(path.unlink, missing_ok=True)
        return FileResponse(
            path, media_type=MEDIA[request.path_params["form"]], filename=f"{what}.{form}", background=gone
        )


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
