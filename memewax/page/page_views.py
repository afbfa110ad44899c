"""The views of the page: server-rendered HTML."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from jinja2 import Environment
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from core.untrusted_text import sanitized
from memewax.page.page_data import ORDERS, PageData
from memewax.page.page_queries import PageQuery, number, order_of, page_bounds, post_filter, request_of
from memewax.page.page_uploads import Uploads
from memewax.page.page_values import Plain
from memewax.pages.showing import templates

_SIZE: Final = 60
"""Clusters or posts on a page of results."""
_NEWEST: Final = 12
_HITS: Final = 40
_FILTERS: Final = ("source", "author", "since", "until", "column", "value", "cluster", "alone")
_ASKED: Final = ("q", "like", "by")
_WIDTH: Final = 994
"""Width of a timeline in SVG units: 1000 less the 6 of a post's mark."""


class PageViews:
    """The views of the page."""

    def __init__(self, data: PageData, window: timedelta, uploads: Uploads, secret: str = "") -> None:
        """Load the templates; `secret` is the CSRF token of forms that change something, empty for no such forms."""
        self._data = data
        self._window = window
        self._uploads = uploads
        self._secret = secret
        self._templates = page_templates()

    def routes(self) -> list[Route]:
        """Return the routes of the views."""
        paths = {
            "/": self._wall,
            "/clusters": self._wall,
            "/clusters/{id:int}": self._cluster,
            "/posts": self._posts,
            "/posts/{id:path}": self._post,
            "/now": self._now,
            "/search": self._search,
            "/dead-letters": self._dead_letters,
        }
        by_image = Route("/search", self._search_by_image, methods=["POST"])
        return [by_image, *(Route(path, view, methods=["GET"]) for path, view in paths.items())]

    def message(self, status: int, title: str, line: str, place: str = "message") -> Response:
        """Render a page with a title and one line, such as an error."""
        return self._page("message.html", place, status, title=title, line=line)

    def login(self, *, is_wrong: bool) -> Response:
        """Render the login page."""
        return self._page("login.html", "login", 401 if is_wrong else 200, is_wrong=is_wrong)

    def live(self) -> dict[str, str]:
        """Render the live parts of the view "Now", by name; raises `WorldError`."""
        about = self._about_now()
        names = ("figures", "images")
        return {name: self._templates.get_template(f"now_{name}.html").render(**about) for name in names}

    def text(self, name: str) -> str:
        """Return the content of a static file."""
        return self._templates.get_template(name).render()

    def _wall(self, request: Request) -> Response:
        query = request.query_params
        order = order_of(query)
        offset, _ = page_bounds(query)
        return self._page(
            "wall.html",
            "clusters",
            found=self._data.clusters(order, post_filter(query), offset, _SIZE),
            stats=self._data.stats(),
            columns=self._data.custom_columns(),
            orders=ORDERS,
            order=order,
            query={"sort": order, **_kept(query)},
            size=_SIZE,
            hours=f"{self._window / timedelta(hours=1):g} hours",
        )

    def _cluster(self, request: Request) -> Response:
        found = self._data.cluster(request.path_params["id"])
        if found is None:
            return self.message(
                404, "Cluster not found", "A cluster has at least two posts; this one has fewer or no longer exists."
            )
        offset, _ = page_bounds(request.query_params)
        return self._page(
            "cluster.html",
            "clusters",
            it=found,
            lanes=_lanes(found),
            history=_history(found),
            found=self._data.stacks(found["cluster"], offset, _SIZE),
            size=_SIZE,
        )

    def _posts(self, request: Request) -> Response:
        query = request.query_params
        offset, _ = page_bounds(query)
        found = self._data.posts(post_filter(query), offset, _SIZE)
        return self._page(
            "posts.html",
            "posts",
            found=found,
            stats=self._data.stats(),
            columns=self._data.custom_columns(),
            query=_kept(query),
            size=_SIZE,
        )

    def _post(self, request: Request) -> Response:
        it = self._data.post(request.path_params["id"])
        if it is None:
            return self.message(404, "Post not found", "It is not in this store, or was deleted.")
        extra = it["extra"]
        return self._page(
            "post.html",
            "posts",
            it=it,
            boxes=_boxes(it),
            marked=marked(it.get("text_as_read") or "", it.get("entities") or []),
            permalink=web_address(extra.get("permalink") or extra.get("post_url")),
            image_link=web_address(it["url"]),
            alt=next((extra[it] for it in ("alt", "alt_text") if isinstance(extra.get(it), str)), ""),
        )

    def _now(self, _: Request) -> Response:
        return self._page("now.html", "now", **self._about_now())

    def _search(self, request: Request) -> Response:
        return self._found(request.query_params, None)

    async def _search_by_image(self, request: Request) -> Response:
        async with self._uploads.receive(request) as upload:
            return await run_in_threadpool(self._found, upload.fields, upload.image)

    def _found(self, query: PageQuery, image: bytes | None) -> Response:
        wanted = request_of(query, image)
        found = None if wanted is None else self._data.search(wanted, _HITS, post_filter(query))
        if wanted is not None and found is None:
            return self.message(
                404, "Post not found", "The post to find similar ones to is not in this store.", "search"
            )
        return self._page(
            "search.html",
            "search",
            words=wanted.words if wanted else "",
            like=wanted.like if wanted else "",
            by=wanted.by if wanted else "",
            by_image=image is not None,
            found=found,
            stats=self._data.stats(),
            columns=self._data.custom_columns(),
            query={**{name: query.get(name) or "" for name in _ASKED}, **_kept(query)},
        )

    def _dead_letters(self, request: Request) -> Response:
        asked = number(request.query_params, "asked", -1, 0, 10**6)
        return self._page("letters.html", "letters", found=self._data.dead_letters(), secret=self._secret, asked=asked)

    def _about_now(self) -> Plain:
        return {"now": self._data.stats(), "newest": self._data.newest(_NEWEST)}

    def _page(self, template: str, place: str, status: int = 200, **about: Any) -> Response:
        return HTMLResponse(self._templates.get_template(template).render(place=place, **about), status)


def _kept(query: PageQuery) -> dict[str, str]:
    """Return the filters of a query, which links of its view keep."""
    return {name: query.get(name) or "" for name in _FILTERS}


def page_templates() -> Environment:
    """Return the environment of the page's templates."""
    found = templates("memewax.page")
    found.finalize = _shown
    found.filters["post_url"] = lambda global_id: f"/posts/{quote(global_id, safe='')}"
    found.filters["with_query"] = _with_query
    found.filters["file_name"] = lambda address: PurePosixPath(address).name
    return found


def _shown(value: Any) -> Any:
    """Sanitize text before it is put into a page, for instance of characters that reverse the direction of text."""
    return sanitized(value) if type(value) is str else value


def marked(text: str, entities: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Split a text into pieces with the labels of entities; of overlapping entities the first is kept."""
    pieces: list[dict[str, str]] = []
    at = 0
    for it in sorted(entities, key=lambda it: it["start"]):
        begin, end = it["start"], min(it["end"], len(text))
        if at <= begin < end:
            pieces += [{"text": text[at:begin], "label": ""}, {"text": text[begin:end], "label": it["label"]}]
            at = end
    return [it for it in [*pieces, {"text": text[at:], "label": ""}] if it["text"]]


def web_address(text: object) -> str:
    """Return an http(s) URL that is safe to link to; empty for anything else."""
    if not isinstance(text, str):
        return ""
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    return text if parts.scheme in {"http", "https"} and parts.hostname else ""


def _with_query(address: str, query: Mapping[str, Any], **changed: Any) -> str:
    given = {name: value for name, value in {**query, **changed}.items() if value not in (None, "", 0)}
    return f"{address}?{urlencode(given)}" if given else address


def _boxes(it: Plain) -> list[Plain]:
    """Return the boxes of text lines as SVG polygons; empty if the image's size is unknown."""
    size = it["image"]
    if not size or not size["width"] or not size["height"]:
        return []
    return [
        {
            "points": " ".join(f"{x:.1f},{y:.1f}" for x, y in line["box"]),
            "text": line["text"],
            "confidence": round(100 * line["confidence"]),
        }
        for line in it.get("lines") or []
    ]


def _lanes(found: Plain) -> list[Plain]:
    """Return the timeline of each source, with positions of its posts from 0 to 1000."""
    times = [it["time"] for it in found["timeline"]]
    begin, end = _seconds(min(times)), _seconds(max(times))
    places: dict[str, set[int]] = {}
    for it in found["timeline"]:
        place = round(_WIDTH * (_seconds(it["time"]) - begin) / ((end - begin) or 1))
        places.setdefault(it["source"], set()).add(place)
    return [
        {**it, "places": sorted(places.get(it["source"], ())), "later": _later(it["hours_later"])}
        for it in found["by_source"]
    ]


def _later(hours: float) -> str:
    if not hours:
        return "first"
    return f"{hours / 24:,.1f} days" if hours >= 48 else f"{hours:,.1f} h"


def _seconds(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()


def _history(found: Plain) -> list[Plain]:
    """Describe the merges, splits and retirements of a cluster in words."""
    lines = []
    for it in found["history"]:
        number = it["cluster"]
        if it["into"] is not None:
            text = f"cluster {number} was merged into cluster {it['into']}"
        elif it["split_from"] is not None:
            text = f"cluster {number} was split from cluster {it['split_from']}, with {it['moved']:,} posts"
        elif it["state"] == "retired":
            text = f"cluster {number} was retired, since it had no new posts for long"
        else:
            continue
        lines.append({"time": it["changed_time"] or "", "text": text})
    return lines
