"""Files of the page: thumbnails, static files and the health check."""

from hashlib import sha256
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from memewax.page.page_views import PageViews
from search.store_reader import StoreReader

_KEPT: Final = "private, max-age=86400"
"""Cache-Control of thumbnails. Only a day, so that browsers do not keep deleted ones forever."""
_STATIC: Final = "private, max-age=300"
_ICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="4" fill="#8a3b12"/>'
    '<circle cx="6" cy="6" r="2.5" fill="#ffe2a8"/><circle cx="10.5" cy="10" r="3.5" fill="#e6b422"/></svg>'
)
_NO_IMAGE: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 240"><rect width="320" height="240" fill="#8886"/>'
    '<text x="160" y="125" text-anchor="middle" font-family="sans-serif" font-size="18" fill="#777">'
    "no thumbnail</text></svg>"
)
_STYLES: Final = {"page.css": "text/css", "page.js": "text/javascript"}


class PageFiles:
    """Serves files with ETags, so that browsers revalidate instead of loading them again."""

    def __init__(self, reader: StoreReader, views: PageViews) -> None:
        self._reader = reader
        texts = {name: (views.text(name).encode(), kind) for name, kind in _STYLES.items()}
        self._static = {**texts, "icon.svg": (_ICON.encode(), "image/svg+xml")}

    def routes(self) -> list[Route]:
        """Return the routes of the files."""
        return [
            Route("/healthz", self._healthz),
            Route("/static/{name}", self._static_file),
            Route("/thumbnail/{key}", self._thumbnail),
        ]

    def _healthz(self, _: Request) -> Response:
        self._reader.versions()
        return PlainTextResponse("ok\n")

    def _static_file(self, request: Request) -> Response:
        if (found := self._static.get(request.path_params["name"])) is None:
            raise HTTPException(404)
        return _sent(request, *found, _STATIC)

    def _thumbnail(self, request: Request) -> Response:
        key = request.path_params["key"]
        found = self._reader.thumbnail(key) if len(key) == 64 and key.isalnum() and key.isascii() else None
        if found is None:
            return Response(_NO_IMAGE, 404, media_type="image/svg+xml")
        return _sent(request, found.webp, "image/webp", _KEPT)


def _sent(request: Request, content: bytes, kind: str, kept: str) -> Response:
    """Return a file, or 304 if the browser has the current version."""
    tag = f'"{sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": kept}
    known = {it.strip().removeprefix("W/") for it in request.headers.get("if-none-match", "").split(",")}
    if known & {tag, "*"}:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)
