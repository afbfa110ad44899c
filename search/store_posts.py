"""A stored post in short, and its fields beyond the known columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

_SENSITIVE: Final = ("nsfw", "over_18", "sensitive")
"""Fields by which sources mark sensitive posts."""


@dataclass(frozen=True, slots=True)
class PostLine:
    """A post in short, for lists."""

    global_id: str
    time: datetime
    """Time of posting, or else of the join."""
    cluster: int
    """Current cluster; negative if it has none."""
    source: str
    author: str
    image: str | None
    """Key of its thumbnail (SHA-256 of the image)."""
    copy_of: str | None
    """Id of the post whose image this one copies."""
    is_sensitive: bool
    """See `is_sensitive`."""


def is_sensitive(extra: Mapping[str, Any]) -> bool:
    """Check whether a source marked a post as sensitive, with a field such as `nsfw` or with content labels."""
    if any(extra.get(name) is True for name in _SENSITIVE):
        return True
    labels = extra.get("labels")
    return isinstance(labels, list) and any(isinstance(it, str) and not it.startswith("!") for it in labels)


def extra_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Parse the post's fields without a column of their own (`extra`); empty if that is not a JSON object."""
    try:
        found = orjson.loads(row.get("extra") or "{}")
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
