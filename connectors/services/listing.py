"""What the services have in common: listings of items, newest first, a page at a time."""

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
"""Where a page begins: plain, since it is kept in recovery."""

Reason = Literal["text", "video", "link", "removed", "other"]
"""Why an item of a listing is no post: the only labels of its metric."""

_SHOWN: Final = 40

PostBody = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ListingItem:
    """An entry of a listing, not looked at more closely yet."""

    id: str
    """Unique in its listing."""
    created: float
    """Seconds since 1970; 0 where it is not known."""
    body: Any
    """As the service sent it."""
    pinned: bool = False
    """Shown at the top whatever its age."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a listing."""

    items: Sequence[ListingItem]
    next: Cursor | None
    """The page with older items; None where this is the last one."""


@dataclass(frozen=True, slots=True)
class ServiceImage:
    """One image of an item."""

    url: str
    caption: str = ""


@dataclass(frozen=True, slots=True)
class ServicePost:
    """What an item says, whatever the service."""

    id: str
    author: str
    created: float
    title: str
    score: int
    images: Sequence[ServiceImage | Reason]
    """In a gallery, an entry that is no image keeps its number and says what it is."""
    permalink: str
    channel: str
    """Subreddit, section or blog."""
    nsfw: bool = False
    spoiler: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)


class Listing(ABC):
    """One place of a service where posts appear."""

    service: str
    """Its name: the end of each `global_id`."""
    shifts: bool = False
    """Whether pages are counted from the newest item, so that items move between them while one reads."""

    @property
    def marks(self) -> Mapping[str, str]:
        """Headers by which its server tells whether its newest page is as it was; kept from run to run."""
        return {}

    def remember(self, marks: Mapping[str, str]) -> None:  # noqa: B027 - most servers have none
        """Take `marks` for those of the newest page that was read."""

    @abstractmethod
    def page(self, cursor: Cursor | None) -> Page | None:
        """Ask for a page, the newest one where `cursor` is None: then None says that it is as it was.

        Raises as `ApiClient.get` does.
        """

    @abstractmethod
    def look(self, item: ListingItem) -> ServicePost | Reason:
        """What an item is; raises `ValueError` where it has not the form that is known."""


def posts_of(found: ServicePost, service: str, now: datetime) -> list[PostBody]:
    """The posts of an item: one, or of a gallery one for each image, numbered from 1 by its place there."""
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
    """An item by its name; one without a name, which nobody will understand, by what it holds."""
    return ListingItem(
        name or f"unnamed-{zlib.crc32(as_json(body)):08x}",
        float(created) if isinstance(created, int | float) else 0.0,
        body,
        pinned,
    )


def why_strange(error: Exception) -> str:
    """Which field of an item is not as known, and what was found there."""
    if not isinstance(error, ValidationError):
        return first_line(error)
    found = error.errors()[0]
    field = ".".join(map(str, found["loc"])) or "all of it"
    return f"{field}: {found['msg']}, found {str(found['input'])[:_SHOWN]!r}"


def as_json(body: Any) -> bytes:
    """A body as a message."""
    return orjson.dumps(body)
