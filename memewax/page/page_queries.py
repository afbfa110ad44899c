"""Parsers of query parameters; raise `BadRecordError` with a one-line reason."""

from collections.abc import Collection, Mapping
from typing import Final, cast

from core.errors import BadRecordError
from core.records import CLUSTER_FAILED
from core.times import parse_time
from memewax.page.page_data import ORDERS, PostFilter
from memewax.page.page_search import LIKE_BY, LONGEST_QUERY, SearchRequest
from memewax.page.page_values import MOST
from search.posts_catalogue import ClusterOrder

_FURTHEST: Final = 10**9
PageQuery = Mapping[str, str]


def post_filter(query: PageQuery) -> PostFilter:
    """Parse a filter of posts; raises `BadRecordError`."""
    times = {}
    for name in ("since", "until"):
        try:
            times[name] = parse_time(query[name]) if query.get(name) else None
        except ValueError:
            raise BadRecordError(f"{name} is not a time: expected 2026-01-31 or 2026-01-31T12:00") from None
    cluster = number(query, "cluster", CLUSTER_FAILED, CLUSTER_FAILED, 2**62) if query.get("cluster") else None
    return PostFilter(
        source=query.get("source") or None,
        author=query.get("author") or None,
        since=times["since"],
        until=times["until"],
        cluster=cluster,
        is_alone=query.get("alone") in {"1", "true"},
        column=query.get("column") or None,
        value=query.get("value", ""),
    )


def order_of(query: PageQuery) -> ClusterOrder:
    """Parse the order of clusters; raises `BadRecordError`."""
    order = query.get("sort") or "size"
    if order not in ORDERS:
        raise BadRecordError(f"sort: expected one of {', '.join(ORDERS)}")
    return cast("ClusterOrder", order)


def page_bounds(query: PageQuery, usual: int = MOST) -> tuple[int, int]:
    """Parse offset and limit of a page of results; raises `BadRecordError`."""
    return number(query, "offset", 0, 0, _FURTHEST), number(query, "limit", usual, 1, MOST)


def number(query: PageQuery, name: str, usual: int, least: int, most: int) -> int:
    """Parse an integer from `least` to `most`, by default `usual`; raises `BadRecordError`."""
    text = query.get(name)
    if not text:
        return usual
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20 and least <= int(text) <= most):
        raise BadRecordError(f"{name}: expected a whole number from {least} to {most}")
    return int(text)


def request_of(query: PageQuery, image: bytes | None = None) -> SearchRequest | None:
    """Parse a search; None if it is empty. Raises `BadRecordError`."""
    words, like, by = _words(query), query.get("like", ""), query.get("by") or "looks"
    if by not in LIKE_BY:
        raise BadRecordError(f"by: expected one of {', '.join(LIKE_BY)}")
    if like and (words or image):
        raise BadRecordError("like cannot be combined with words or an image: search for either")
    if not (words or like or image):
        return None
    return SearchRequest(words, image or None, like, by)


def check_parameters(query: PageQuery, known: Collection[str]) -> None:
    """Raise `BadRecordError` for an unknown parameter."""
    unknown = sorted(query.keys() - set(known))
    if unknown:
        expected = f"expected {', '.join(sorted(known))}" if known else "expected none"
        raise BadRecordError(f"unknown parameter {unknown[0][:40]!r}; {expected}")


def _words(query: PageQuery) -> str:
    words = query.get("q", "").strip()
    if len(words) > LONGEST_QUERY:
        raise BadRecordError(f"q has {len(words):,} characters: expected at most {LONGEST_QUERY}")
    return words
