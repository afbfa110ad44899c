"""The JSON API of the page, below `/api/v1`."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.errors import BadRecordError
from core.untrusted_text import safe_json
from memewax import __version__
from memewax.page.page_data import ORDERS, PageData
from memewax.page.page_queries import (
    PageQuery,
    check_parameters,
    number,
    order_of,
    page_bounds,
    post_filter,
    request_of,
)
from memewax.page.page_search import LIKE_BY
from memewax.page.page_search import MOST as MOST_HITS
from memewax.page.page_uploads import Uploads
from memewax.page.page_values import MOST, Plain

PREFIX: Final = "/api/v1"


def api_routes(data: PageData, uploads: Uploads) -> list[Route]:
    """Return the routes of the API."""
    answers = _Answers(data, uploads)
    paths: dict[str, Callable[[Request], Response]] = {
        "/posts": answers.posts,
        "/posts/{id:path}": answers.post,
        "/clusters": answers.clusters,
        "/clusters/{id:int}": answers.cluster,
        "/dead-letters": lambda _: _json(data.dead_letters()),
        "/stats": lambda _: _json(data.stats()),
        "/search": lambda request: answers.found(request.query_params, None),
        "/openapi.json": lambda _: _json(openapi_document()),
    }
    return [
        *(Route(f"{PREFIX}{path}", _checked(f"{PREFIX}{path}", it), methods=["GET"]) for path, it in paths.items()),
        Route(f"{PREFIX}/search", answers.found_by_image, methods=["POST"]),
        Route(f"{PREFIX}/{{path:path}}", _nothing, methods=["GET"]),
    ]


class _Answers:
    def __init__(self, data: PageData, uploads: Uploads) -> None:
        self._data, self._uploads = data, uploads

    def posts(self, request: Request) -> Response:
        return _json(self._data.posts(post_filter(request.query_params), *page_bounds(request.query_params)))

    def post(self, request: Request) -> Response:
        return _json_or_404(self._data.post(request.path_params["id"]), "post")

    def clusters(self, request: Request) -> Response:
        query = request.query_params
        return _json(self._data.clusters(order_of(query), post_filter(query), *page_bounds(query)))

    def cluster(self, request: Request) -> Response:
        return _json_or_404(self._data.cluster(request.path_params["id"]), "cluster of two posts or more")

    def found(self, query: PageQuery, image: bytes | None) -> Response:
        wanted = request_of(query, image)
        if wanted is None:
            raise BadRecordError("empty search: give words as q or a post as like, or send an image")
        k = number(query, "k", 20, 1, MOST_HITS)
        return _json_or_404(self._data.search(wanted, k, post_filter(query)), "post")

    async def found_by_image(self, request: Request) -> Response:
        _check(f"{PREFIX}/search", request)
        async with self._uploads.receive(request) as upload:
            if not upload.image:
                raise BadRecordError("no image was sent: send one as image/…, or as the field image of a form")
            return await run_in_threadpool(self.found, {**request.query_params, **upload.fields}, upload.image)


def _nothing(_: Request) -> Response:
    return _json({"error": f"unknown path; {PREFIX}/openapi.json lists the existing ones"}, 404)


def _checked(path: str, handler: Callable[[Request], Response]) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        _check(path, request)
        return handler(request)

    return answer


def _check(path: str, request: Request) -> None:
    """Raise `BadRecordError` for a parameter that the OpenAPI document does not have."""
    check_parameters(request.query_params, _KNOWN.get(path.replace(":path", "").replace(":int", ""), ()))


def _json(value: Any, status: int = 200) -> Response:
    return Response(safe_json(value), status, media_type="application/json")


def _json_or_404(value: Plain | None, what: str) -> Response:
    return _json({"error": f"there is no such {what}"}, 404) if value is None else _json(value)


def _parameter(name: str, meaning: str, schema: Plain, *, where: str = "query") -> Plain:
    return {"name": name, "in": where, "required": where == "path", "description": meaning, "schema": schema}


_TEXT: Final[Plain] = {"type": "string"}
_TIME: Final[Plain] = {"type": "string", "format": "date-time"}
_FILTER: Final = [
    _parameter("source", "Only posts of this source.", _TEXT),
    _parameter("author", "Only posts of this author.", _TEXT),
    _parameter("since", "Only posts from this time on.", _TIME),
    _parameter("until", "Only posts before this time.", _TIME),
    _parameter("column", "Only posts with a value in this custom column …", _TEXT),
    _parameter("value", "… that is equal to this one.", _TEXT),
    _parameter("cluster", "Only posts of this cluster, by its id or one that was merged into it.", {"type": "integer"}),
    _parameter("alone", "1: only posts that are the only one of their cluster.", {"enum": ["1"]}),
]
"""Parameters that filter posts."""
_PIECE: Final = [
    _parameter("offset", "Number of results to skip.", {"type": "integer", "minimum": 0, "default": 0}),
    _parameter(
        "limit", "Maximum number of results.", {"type": "integer", "minimum": 1, "maximum": MOST, "default": MOST}
    ),
]


_WORDS: Final = [
    _parameter("q", "Words to search for.", {"type": "string", "maxLength": 500}),
    _parameter("k", "Maximum number of results.", {"type": "integer", "minimum": 1, "maximum": MOST_HITS}),
]


def openapi_document() -> Plain:
    """Return the OpenAPI 3.1 document of the API."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "memewax",
            "version": __version__,
            "description": "Results of a flow: posts, clusters, dead letters. Posts have the columns of records.",
        },
        "paths": {
            f"{PREFIX}/posts": _get(
                "Posts, newest first",
                [*_FILTER, *_PIECE],
            ),
            f"{PREFIX}/posts/{{id}}": _get(
                "A post, its copies and its neighbours",
                [_parameter("id", "`global_id` of the post.", _TEXT, where="path")],
                missing=True,
            ),
            f"{PREFIX}/clusters": _get(
                "Clusters of two or more posts",
                [_parameter("sort", "TableCommand.", {"enum": list(ORDERS), "default": "size"}), *_FILTER, *_PIECE],
            ),
            f"{PREFIX}/clusters/{{id}}": _get(
                "A cluster: sources, timeline, merges and splits",
                [
                    _parameter(
                        "id", "Id of the cluster, or of one that was merged into it.", {"type": "integer"}, where="path"
                    )
                ],
                missing=True,
            ),
            f"{PREFIX}/search": {
                **_get(
                    "Posts that match words best, or are similar to a post",
                    [
                        *_WORDS,
                        _parameter("like", "Instead of words: the `global_id` of a post.", _TEXT),
                        _parameter(
                            "by", "Kind of similarity to that post.", {"enum": list(LIKE_BY), "default": "looks"}
                        ),
                        *_FILTER,
                    ],
                    missing=True,
                ),
                "post": _posted(),
            },
            f"{PREFIX}/dead-letters": _get("Open dead letters by cause", []),
            f"{PREFIX}/stats": _get("Counts, and the status of flows", []),
        },
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"token": []}],
    }


def _posted() -> Plain:
    """Return the operation of a search by image."""
    made: Plain = _get(
        "Posts that look like an image, which is not stored; with words, only posts that also match them",
        [*_WORDS, *_FILTER],
    )["get"]
    binary: Plain = {"schema": {"type": "string", "format": "binary"}}
    form = {"type": "object", "required": ["image"], "properties": {"image": binary["schema"], "q": _TEXT}}
    body = {"required": True, "content": {"image/*": binary, "multipart/form-data": {"schema": form}}}
    more = {
        "408": "The image did not arrive in time.",
        "413": "The image is too large.",
        "415": "The body is not an image.",
    }
    responses = {**made["responses"], **{status: {"description": text} for status, text in more.items()}}
    return {**made, "requestBody": body, "responses": responses}


def _get(summary: str, parameters: list[Plain], *, missing: bool = False) -> Plain:
    body = {"application/json": {"schema": {"type": "object"}}}
    error = {"application/json": {"schema": {"type": "object", "properties": {"error": _TEXT}}}}
    responses: Plain = {
        "200": {"description": "The result.", "content": body},
        "400": {"description": "The request is invalid; `error` gives the reason.", "content": error},
        "401": {"description": "A token is needed."},
        "429": {"description": "Too many requests: retry later."},
        "503": {"description": "The store cannot be read at the moment.", "content": error},
    }
    if missing:
        responses["404"] = {"description": "Not found.", "content": error}
    return {"get": {"summary": summary, "parameters": parameters, "responses": responses}}


_KNOWN: Final[Mapping[str, frozenset[str]]] = {
    path: frozenset(it["name"] for it in about["get"]["parameters"] if it["in"] == "query")
    for path, about in openapi_document()["paths"].items()
}
"""Query parameters by path."""
