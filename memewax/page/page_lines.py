"""List entries of posts as JSON objects."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from core.times import time_or_none
from memewax.page.page_values import Plain, bounded
from search.store_posts import PostLine, extra_of, is_sensitive

SHORT: Final = 280
"""Maximum characters of a text in a list."""


def line_json(it: PostLine) -> Plain:
    """Return the fields of a list entry that the catalogue has."""
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
    """Return a list entry; `line` is None for a post newer than the catalogue."""
    return {**(line_json(line) if line else _line_of_row(row)), **row_json(row)}


def row_json(row: Mapping[str, Any]) -> Plain:
    """Return the fields of a list entry that only the row has."""
    return {
        "description": bounded(row.get("description"), SHORT),
        "text_as_read": bounded(row.get("text_as_read"), SHORT),
        "url": bounded(row.get("url"), SHORT),
        "failures": len(row.get("failures") or ()),
    }


def _line_of_row(row: Mapping[str, Any]) -> Plain:
    """Return the catalogue's fields from the row of a post newer than the catalogue."""
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
