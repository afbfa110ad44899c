"""A post of a store in short, and what its other fields say."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

_SENSITIVE: Final = ("nsfw", "over_18", "sensitive")
"""Fields by which sources say so."""


@dataclass(frozen=True, slots=True)
class PostLine:
    """A post, in short."""

    global_id: str
    time: datetime
    """When it was posted, or else joined."""
    cluster: int
    """As of now; negative: in none."""
    source: str
    author: str
    image: str | None
    """Key of its thumbnail."""
    copy_of: str | None
    """The post whose image this one is a copy of."""
    is_sensitive: bool
    """Its source or its labels say so."""


def is_sensitive(extra: Mapping[str, Any]) -> bool:
    """Whether a source says that not everybody wants to see a post: `nsfw` and its like, or labels of what it shows."""
    if any(extra.get(name) is True for name in _SENSITIVE):
        return True
    labels = extra.get("labels")
    return isinstance(labels, list) and any(isinstance(it, str) and not it.startswith("!") for it in labels)


def extra_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a row's post that memewax does not know; none where they are no JSON object."""
    try:
        found = orjson.loads(row.get("extra") or "{}")
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
