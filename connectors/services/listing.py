"""What services have in common: listings of items, newest first, in pages."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

import orjson
from pydantic import ValidationError

from core.errors import first_line

Cursor = str | int
"""Start of a page; a plain value, since snapshots hold it."""

Reason = Literal["text", "video", "link", "removed", "other"]
"""Why an item yields no post; these are all labels of its metric."""

_SHOWN: Final = 40

PostBody = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ListingItem:
    """An entry of a listing, not parsed yet."""

    id: str
    """Unique in its listing."""
    created: float
    """Seconds since 1970; 0 if unknown."""
    body: Any
    """As the service sent it."""
    pinned: bool = False
    """Whether the service shows it at the top regardless of its age."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a listing."""

    items: Sequence[ListingItem]
    next: Cursor | None
    """Cursor of the page with older items; None on the last page."""


@dataclass(frozen=True, slots=True)
class ServiceImage:
    """One image of an item."""

    url: str
    caption: str = ""


@dataclass(frozen=True, slots=True)
class ServicePost:
    """A parsed item, in the same form for all services."""

    id: str
    author: str
    created: float
    title: str
    score: int
    images: Sequence[ServiceImage | Reason]
    """In a gallery, an entry that is not an image keeps its place and gives the reason."""
    permalink: str
    channel: str
    """Subreddit, section or blog."""
    nsfw: bool = False
    spoiler: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


class Listing(ABC):
    """One list of posts of a service, newest first, such as a subreddit or a blog."""

    service: str
    """Name of the service; each `global_id` ends with it."""
    shifts: bool = False
    """Whether pages are numbered from the newest item, so that items shift between pages during a polling cycle."""

    @property
    def marks(self) -> Mapping[str, str]:
        """Return the conditional headers (ETag) of the newest page; snapshots hold them."""
        return {}

    def remember(self, marks: Mapping[str, str]) -> None:  # noqa: B027 - most servers have none
        """Restore the conditional headers of the newest page, from `marks` of an earlier run."""

    @abstractmethod
    def page(self, cursor: Cursor | None) -> Page | None:
        """Request a page, by default the newest; return None if the newest page has not changed.

        Raises the errors of `ApiClient.get`.
        """

    @abstractmethod
    def parse_item(self, item: ListingItem) -> ServicePost | Reason:
        """Parse an item; raises `ValueError` if it has an unknown form."""


def posts_of(found: ServicePost, service: str, now: datetime) -> list[PostBody]:
    """Return the posts of an item: one, or for a gallery one per image, numbered from 1 by its place there."""
    common = {
        "author": found.author,
        "created_time": datetime.fromtimestamp(found.created, UTC).isoformat() if found.created else "",
        "score": found.score,
        "source": service,
        "ingestion_time": now.isoformat(),
        "nsfw": found.nsfw,
        "spoiler": found.spoiler,
        "permalink": found.permalink,
        "channel": found.channel,
        **found.extra,
    }
    alone = len(found.images) == 1
    return [
        {
            "global_id": f"{found.id}-{service}" if alone else f"{found.id}_{number}-{service}",
            "url": image.url,
            "desc": "\n".join(filter(None, (found.title, image.caption))),
            **common,
            **({} if alone else {"post_id": f"{found.id}-{service}"}),
        }
        for number, image in enumerate(found.images, 1)
        if isinstance(image, ServiceImage)
    ]


def item_of(body: Any, name: str | None, created: Any, *, pinned: bool = False) -> ListingItem:
    """Make an item. Without an API id, a CRC of the body serves as id, so that the item is reported only once."""
    return ListingItem(
        name or f"unnamed-{zlib.crc32(as_json(body)):08x}",
        float(created) if isinstance(created, int | float) else 0.0,
        body,
        pinned,
    )


def why_strange(error: Exception) -> str:
    """Describe which field of an item is invalid, and what was found there."""
    if not isinstance(error, ValidationError):
        return first_line(error)
    found = error.errors()[0]
    field = ".".join(map(str, found["loc"])) or "the item"
    return f"{field}: {found['msg']}, found {str(found['input'])[:_SHOWN]!r}"


def as_json(body: Any) -> bytes:
    """Serialise a body for a message."""
    return orjson.dumps(body)
