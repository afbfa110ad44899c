"""A post in short, as lists of the page tell of it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from core.times import time_or_none
from memewax.page.page_values import Plain, bounded
from search.store_posts import PostLine, extra_of, is_sensitive

SHORT: Final = 280
"""Characters of a text."""


def line_json(it: PostLine) -> Plain:
    """What the catalogue tells of a post."""
    return {
        "global_id": it.global_id,
        "time": it.time.isoformat(),
        "cluster": it.cluster,
        "source": it.source,
        "author": it.author,
        "sensitive": it.is_sensitive,
        "copy_of": it.copy_of,
        "thumbnail": f"/thumbnail/{it.image}" if it.image else None,
    }


def post_json(row: Mapping[str, Any], line: PostLine | None) -> Plain:
    """What lists tell of a post; None in place of its line where it came after the catalogue was read."""
    return {**(line_json(line) if line else _line_of_row(row)), **row_json(row)}


def row_json(row: Mapping[str, Any]) -> Plain:
    """What lists tell of a row besides."""
    return {
        "description": bounded(row.get("description"), SHORT),
        "text_as_read": bounded(row.get("text_as_read"), SHORT),
        "url": bounded(row.get("url"), SHORT),
        "failures": len(row.get("failures") or ()),
    }


def _line_of_row(row: Mapping[str, Any]) -> Plain:
    """Of a post that came after the catalogue was read."""
    time = time_or_none(row["created_time"]) or time_or_none(row["joined_time"]) or datetime.fromtimestamp(0, UTC)
    image = row.get("picture_sha256")
    now = row.get("current_cluster")
    return line_json(
        PostLine(
            row["global_id"],
            time,
            row["cluster"] if now is None else now,
            bounded(row["source"], SHORT) or "",
            bounded(row["author"], SHORT) or "",
            image,
            row.get("duplicate_of"),
            is_sensitive(extra_of(row)),
        )
    )
