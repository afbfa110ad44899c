"""The JSON API of the page, below `/api/v1`."""

from collections.abc import Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from core.stranger_text import safe_json
from memewax import __version__
from memewax.page.page_data import ORDERS, PageData
from memewax.page.page_queries import number, order_of, piece, post_filter, words_of
from memewax.page.page_search import MOST as MOST_HITS
from memewax.page.page_values import MOST, Plain

PREFIX: Final = "/api/v1"


def api_routes(data: PageData) -> list[Route]:
    """The paths of the API."""

    def posts(request: Request) -> Response:
        return _json(data.posts(post_filter(request.query_params), *piece(request.query_params)))

    def post(request: Request) -> Response:
        return _json_or_404(data.post(request.path_params["id"]), "post")

    def clusters(request: Request) -> Response:
        query = request.query_params
        return _json(data.clusters(order_of(query), query.get("source") or None, *piece(query)))

    def cluster(request: Request) -> Response:
        return _json_or_404(data.cluster(request.path_params["id"]), "cluster of two posts or more")

    def dead_letters(_: Request) -> Response:
        return _json(data.dead_letters())

    def stats(_: Request) -> Response:
        return _json(data.stats())

    def search(request: Request) -> Response:
        words = words_of(request.query_params)
        k = number(request.query_params, "k", 20, 1, MOST_HITS)
        return _json(data.search(words, k)) if words else _json({"error": "q is missing: what is looked for"}, 400)

    def openapi(_: Request) -> Response:
        return _json(openapi_document())

    paths: dict[str, Callable[[Request], Response]] = {
        "/posts": posts,
        "/posts/{id:path}": post,
        "/clusters": clusters,
        "/clusters/{id:int}": cluster,
        "/dead-letters": dead_letters,
        "/stats": stats,
        "/search": search,
        "/openapi.json": openapi,
    }
    return [Route(f"{PREFIX}{path}", handler, methods=["GET"]) for path, handler in paths.items()]


def _json(value: Any, status: int = 200) -> Response:
    return Response(safe_json(value), status, media_type="application/json")


def _json_or_404(value: Plain | None, what: str) -> Response:
    return _json({"error": f"there is no such {what}"}, 404) if value is None else _json(value)


def _parameter(name: str, meaning: str, schema: Plain, *, where: str = "query") -> Plain:
    return {"name": name, "in": where, "required": where == "path", "description": meaning, "schema": schema}


_TEXT: Final[Plain] = {"type": "string"}
_SOURCE: Final = _parameter("source", "Only from this source.", _TEXT)
_PIECE: Final = [
    _parameter("offset", "So many are passed over.", {"type": "integer", "minimum": 0, "default": 0}),
    _parameter("limit", "So many at most.", {"type": "integer", "minimum": 1, "maximum": MOST, "default": MOST}),
]


def openapi_document() -> Plain:
    """The API in the words of OpenAPI 3.1."""
    time: Plain = {"type": "string", "format": "date-time"}
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
                [
                    _SOURCE,
                    _parameter("author", "Only of this author.", _TEXT),
                    _parameter("since", "Only from this time on.", time),
                    _parameter("until", "Only from before this time.", time),
                    _parameter("cluster", "Only of this cluster, by any id that leads to it.", {"type": "integer"}),
                    _parameter("alone", "1: only posts that are alone in their cluster.", {"enum": ["1"]}),
                    *_PIECE,
                ],
            ),
            f"{PREFIX}/posts/{{id}}": _get(
                "A post, its copies and its neighbours",
                [_parameter("id", "Its `global_id`.", _TEXT, where="path")],
                missing=True,
            ),
            f"{PREFIX}/clusters": _get(
                "Clusters of two posts and more",
                [_parameter("sort", "By what.", {"enum": list(ORDERS), "default": "size"}), _SOURCE, *_PIECE],
            ),
            f"{PREFIX}/clusters/{{id}}": _get(
                "A cluster: sources, time line, merges and splits",
                [_parameter("id", "Its id, or one that was merged into it.", {"type": "integer"}, where="path")],
                missing=True,
            ),
            f"{PREFIX}/search": _get(
                "Posts that words fit best",
                [
                    {**_parameter("q", "The words.", {"type": "string", "maxLength": 500}), "required": True},
                    _parameter("k", "How many.", {"type": "integer", "minimum": 1, "maximum": MOST_HITS}),
                ],
            ),
            f"{PREFIX}/dead-letters": _get("Dead letters that are open, by cause", []),
            f"{PREFIX}/stats": _get("How much there is, and what the flows say of themselves", []),
        },
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"token": []}],
    }


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
