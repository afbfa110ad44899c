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
from memewax.page.page_queries import PageQuery, number, only, order_of, piece, post_filter, request_of
from memewax.page.page_search import LIKE_BY
from memewax.page.page_search import MOST as MOST_HITS
from memewax.page.page_uploads import Uploads
from memewax.page.page_values import MOST, Plain

PREFIX: Final = "/api/v1"


def api_routes(data: PageData, uploads: Uploads) -> list[Route]:
    """The paths of the API."""
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
        return _json(self._data.posts(post_filter(request.query_params), *piece(request.query_params)))

    def post(self, request: Request) -> Response:
        return _json_or_404(self._data.post(request.path_params["id"]), "post")

    def clusters(self, request: Request) -> Response:
        query = request.query_params
        return _json(self._data.clusters(order_of(query), post_filter(query), *piece(query)))

    def cluster(self, request: Request) -> Response:
        return _json_or_404(self._data.cluster(request.path_params["id"]), "cluster of two posts or more")

    def found(self, query: PageQuery, image: bytes | None) -> Response:
        wanted = request_of(query, image)
        if wanted is None:
            raise BadRecordError("nothing is looked for: give words as q, a post as like, or send an image")
        k = number(query, "k", 20, 1, MOST_HITS)
        return _json_or_404(self._data.search(wanted, k, post_filter(query)), "post")

    async def found_by_image(self, request: Request) -> Response:
        _check(f"{PREFIX}/search", request)
        async with self._uploads.taken(request) as upload:
            if not upload.image:
                raise BadRecordError("no image was sent: send one as image/…, or as the field image of a form")
            return await run_in_threadpool(self.found, {**request.query_params, **upload.fields}, upload.image)


def _nothing(_: Request) -> Response:
    return _json({"error": f"there is no such path; {PREFIX}/openapi.json names those that there are"}, 404)


def _checked(path: str, handler: Callable[[Request], Response]) -> Callable[[Request], Response]:
    def answer(request: Request) -> Response:
        _check(path, request)
        return handler(request)

    return answer


def _check(path: str, request: Request) -> None:
    """Raise `BadRecordError` where a parameter is given that the document does not name."""
    only(request.query_params, _KNOWN.get(path.replace(":path", "").replace(":int", ""), ()))


def _json(value: Any, status: int = 200) -> Response:
    return Response(safe_json(value), status, media_type="application/json")


def _json_or_404(value: Plain | None, what: str) -> Response:
    return _json({"error": f"there is no such {what}"}, 404) if value is None else _json(value)


def _parameter(name: str, meaning: str, schema: Plain, *, where: str = "query") -> Plain:
    return {"name": name, "in": where, "required": where == "path", "description": meaning, "schema": schema}


_TEXT: Final[Plain] = {"type": "string"}
_TIME: Final[Plain] = {"type": "string", "format": "date-time"}
_FILTER: Final = [
    _parameter("source", "Only from this source.", _TEXT),
    _parameter("author", "Only of this author.", _TEXT),
    _parameter("since", "Only from this time on.", _TIME),
    _parameter("until", "Only from before this time.", _TIME),
    _parameter("column", "Only with a value in this custom column …", _TEXT),
    _parameter("value", "… which is this one.", _TEXT),
    _parameter("cluster", "Only of this cluster, by any id that leads to it.", {"type": "integer"}),
    _parameter("alone", "1: only posts that are alone in their cluster.", {"enum": ["1"]}),
]
"""Which posts pass."""
_PIECE: Final = [
    _parameter("offset", "So many are passed over.", {"type": "integer", "minimum": 0, "default": 0}),
    _parameter("limit", "So many at most.", {"type": "integer", "minimum": 1, "maximum": MOST, "default": MOST}),
]


_WORDS: Final = [
    _parameter("q", "The words.", {"type": "string", "maxLength": 500}),
    _parameter("k", "How many.", {"type": "integer", "minimum": 1, "maximum": MOST_HITS}),
]


def openapi_document() -> Plain:
    """The API in the words of OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "memewax",
            "version": __version__,
            "description": "What a flow found: posts, clusters, dead letters. Columns of posts are those of a record.",
        },
        "paths": {
            f"{PREFIX}/posts": _get(
                "Posts, newest first",
                [*_FILTER, *_PIECE],
            ),
            f"{PREFIX}/posts/{{id}}": _get(
                "A post, its copies and its neighbours",
                [_parameter("id", "Its `global_id`.", _TEXT, where="path")],
                missing=True,
            ),
            f"{PREFIX}/clusters": _get(
                "Clusters of two posts and more",
                [_parameter("sort", "By what.", {"enum": list(ORDERS), "default": "size"}), *_FILTER, *_PIECE],
            ),
            f"{PREFIX}/clusters/{{id}}": _get(
                "A cluster: sources, time line, merges and splits",
                [_parameter("id", "Its id, or one that was merged into it.", {"type": "integer"}, where="path")],
                missing=True,
            ),
            f"{PREFIX}/search": {
                **_get(
                    "Posts that words fit best, or that are like a post",
                    [
                        *_WORDS,
                        _parameter("like", "Instead of words: the `global_id` of a post.", _TEXT),
                        _parameter("by", "In what they are like it.", {"enum": list(LIKE_BY), "default": "looks"}),
                        *_FILTER,
                    ],
                    missing=True,
                ),
                "post": _posted(),
            },
            f"{PREFIX}/dead-letters": _get("Dead letters that are open, by cause", []),
            f"{PREFIX}/stats": _get("How much there is, and what the flows say of themselves", []),
        },
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"token": []}],
    }


def _posted() -> Plain:
    """Search by an image."""
    made: Plain = _get(
        "Posts that look like an image, which is not kept; with words, those that have them too", [*_WORDS, *_FILTER]
    )["get"]
    binary: Plain = {"schema": {"type": "string", "format": "binary"}}
    form = {"type": "object", "required": ["image"], "properties": {"image": binary["schema"], "q": _TEXT}}
    body = {"required": True, "content": {"image/*": binary, "multipart/form-data": {"schema": form}}}
    more = {"408": "It did not arrive in time.", "413": "It is too large.", "415": "It is no image."}
    responses = {**made["responses"], **{status: {"description": told} for status, told in more.items()}}
    return {**made, "requestBody": body, "responses": responses}


def _get(summary: str, parameters: list[Plain], *, missing: bool = False) -> Plain:
    body = {"application/json": {"schema": {"type": "object"}}}
    error = {"application/json": {"schema": {"type": "object", "properties": {"error": _TEXT}}}}
    responses: Plain = {
        "200": {"description": "What was asked for.", "content": body},
        "400": {"description": "What is wrong with the request.", "content": error},
        "401": {"description": "A token is needed."},
        "429": {"description": "Too many requests: wait."},
        "503": {"description": "The store cannot be read just now.", "content": error},
    }
    if missing:
        responses["404"] = {"description": "There is none.", "content": error}
    return {"get": {"summary": summary, "parameters": parameters, "responses": responses}}


_KNOWN: Final[Mapping[str, frozenset[str]]] = {
    path: frozenset(it["name"] for it in about["get"]["parameters"] if it["in"] == "query")
    for path, about in openapi_document()["paths"].items()
}
"""The parameters that each path knows."""
