"""Reddit: subreddits and users, newest first, through its API (https://www.reddit.com/dev/api#GET_new)."""

import html
import re
import threading
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from pydantic import BaseModel, Field, SecretStr

from connectors.services.api_client import ApiClient
from connectors.services.api_web import TransientError
from connectors.services.clock import WallClock
from connectors.services.listing import Cursor, Listing, ListingItem, Page, Reason, ServiceImage, ServicePost, item_of
from connectors.services.poll_settings import PollSettings
from connectors.services.polling_source import Opening
from connectors.services.rate_limit import Quota
from connectors.services.reddit_token import Token
from connectors.services.service import Service

QUOTAS: Final = (Quota("x-ratelimit-remaining", "x-ratelimit-reset"),)
_PAGE: Final = 100
_IMAGE_HOSTS: Final = frozenset({"i.redd.it", "i.reddituploads.com"})
_VIDEO_HOSTS: Final = frozenset({"v.redd.it", "youtube.com", "youtu.be", "m.youtube.com", "vimeo.com", "gfycat.com"})
_HTTP: Final = re.compile(r"https?://([^/?#\[\]]+)([^?#]*)", re.IGNORECASE)
"""Captures the host, with user and port, and the path."""
_IMAGE: Final = re.compile(r"\.(jpe?g|png|gif|webp|bmp|avif)$", re.IGNORECASE)
_VIDEO: Final = re.compile(r"\.(gifv|mp4|webm|mov)$", re.IGNORECASE)
_IMGUR_PAGE: Final = re.compile(r"/(\w{5,8})$")
"""Path of a page with one image; the image's file has the same name."""


class RedditSettings(PollSettings):
    """Credentials and URLs of Reddit's API."""

    reddit_client_id: SecretStr = Field(
        SecretStr(""),
        description="The client id of an application registered at https://www.reddit.com/prefs/apps; required for reddit:NAME.",
    )

    reddit_client_secret: SecretStr = Field(SecretStr(""), description="The secret of the same application.")

    reddit_user_agent: str = Field(
        "",
        max_length=256,
        description="The User-Agent that Reddit requires, as 'linux:APPLICATION:v1.0 (by /u/NAME)'; empty: memewax and its version.",
    )

    reddit_url: str = Field(
        "https://oauth.reddit.com", pattern="^https?://.", description="URL of Reddit's API; tests use another."
    )

    reddit_token_url: str = Field(
        "https://www.reddit.com/api/v1/access_token",
        pattern="^https?://.",
        description="URL at which Reddit grants tokens.",
    )


class Reddit(Service[RedditSettings]):
    """Subreddits and users of Reddit."""

    name = "reddit"
    names_help = "a subreddit, or u/NAME"

    def opening(self, settings: RedditSettings) -> Opening:
        """Return a function that opens subreddits; raises `SettingsError` if the credentials are not set."""
        self.need(
            "an application of type 'script' at https://www.reddit.com/prefs/apps",
            reddit_client_id=settings.reddit_client_id,
            reddit_client_secret=settings.reddit_client_secret,
        )
        token = Token(
            settings.reddit_token_url,
            settings.reddit_client_id,
            settings.reddit_client_secret,
            WallClock(threading.Event()),
        )
        return self.opened_by(Subreddit, settings.reddit_url, token, QUOTAS, settings.reddit_user_agent)


class Subreddit(Listing):
    """The new posts of a subreddit (`memes`) or of a user (`u/name`)."""

    service = "reddit"

    def __init__(self, client: ApiClient, name: str) -> None:
        self._client = client
        kind, _, user = name.rpartition("/")
        self._is_user = kind in {"u", "user"}
        quoted = quote(user, safe="")
        self._path = f"user/{quoted}/submitted" if self._is_user else f"r/{quoted}/new"

    def page(self, cursor: Cursor | None) -> Page | None:
        """Request the posts that follow the one named by `cursor`, which are older."""
        params: dict[str, str | int] = {"limit": _PAGE}
        if self._is_user:
            params["sort"] = "new"
        if cursor is not None:
            params["after"] = cursor
        return self._client.get(self._path, params, page_of, watch=cursor is None)

    def parse_item(self, item: ListingItem) -> ServicePost | Reason:
        """Parse the post in an item, with its image or gallery."""
        return parse_item(item)


class _Source(BaseModel):
    u: str | None = None
    gif: str | None = None
    mp4: str | None = None


class _Media(BaseModel):
    status: str = "valid"
    """Missing in some dumps, hence the default."""
    e: str = ""
    s: _Source = _Source()


class _Entry(BaseModel):
    media_id: str
    caption: str | None = None


class _Gallery(BaseModel):
    items: list[_Entry] = []


class _Post(BaseModel):
    """The fields read from a post; which of them exist depends on the age of the post."""

    id: str
    title: str = ""
    author: str | None = None
    created_utc: float = 0.0
    score: int = 0
    subreddit: str = ""
    permalink: str = ""
    url: str = ""
    url_overridden_by_dest: str | None = None
    domain: str | None = None
    post_hint: str | None = None
    is_self: bool = False
    is_video: bool = False
    is_gallery: bool | None = None
    gallery_data: _Gallery | None = None
    media_metadata: dict[str, _Media] | None = None
    crosspost_parent_list: list["_Post"] | None = None
    over_18: bool = False
    spoiler: bool = False
    promoted: bool | None = None
    removed_by_category: str | None = None
    banned_by: Any = None


FIELDS: Final = tuple(_Post.model_fields)
"""The fields read from a post."""


class _Thing(BaseModel):
    kind: str
    data: Any = None


def page_of(body: Any) -> Page:
    """Parse a page of a listing; raises `TransientError` if it has an unexpected form."""
    data = body.get("data") if isinstance(body, dict) else None
    children = data.get("children") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(children, list):
        raise TransientError("a listing without children")
    return Page([_item(child) for child in children], data.get("after") or None)


def parse_item(item: ListingItem) -> ServicePost | Reason:
    """Parse the post in an item; raises `ValueError` if it has an unknown form."""
    thing = _Thing.model_validate(item.body)
    if thing.kind != "t3":  # a comment or subreddit, in mixed listings
        return "other"
    return parse_fields(thing.data)


def parse_fields(fields: Any) -> ServicePost | Reason:
    """Parse the fields of a post; raises `ValueError` if they have an unknown form."""
    post = _Post.model_validate(fields)
    if post.removed_by_category or post.banned_by or post.title in {"[deleted by user]", "[removed by reddit]"}:
        return "removed"
    if post.promoted:
        return "other"
    images = _images(post)
    if isinstance(images, str):
        return images
    return ServicePost(
        id=post.id,
        author=post.author or "",
        created=post.created_utc,
        title=html.unescape(post.title),
        score=post.score,
        images=images,
        permalink=f"https://www.reddit.com{post.permalink}",
        channel=post.subreddit,
        nsfw=post.over_18,
        spoiler=post.spoiler,
    )


def _item(child: Any) -> ListingItem:
    data = child.get("data") if isinstance(child, dict) else None
    data = data if isinstance(data, dict) else {}
    name = data.get("name") or data.get("id")
    return item_of(
        child,
        str(name) if name else None,
        data.get("created_utc"),
        pinned=bool(data.get("stickied") or data.get("pinned")),
    )


def _images(post: _Post) -> list[ServiceImage | Reason] | Reason:
    if post.is_self:
        return "text"
    for it in (post, *(post.crosspost_parent_list or ())):  # a crosspost's gallery is in its parent
        if it.gallery_data is not None and it.media_metadata:
            return [_of_gallery(entry, it.media_metadata) for entry in it.gallery_data.items] or "removed"
    if post.is_gallery:
        return "removed"  # a gallery whose images are gone
    # the URL of a crosspost may lead to its parent's page
    results = [
        _image_at(html.unescape(it.url_overridden_by_dest or it.url), it)
        for it in (post, *(post.crosspost_parent_list or ()))
    ]
    found = next((it for it in results if isinstance(it, tuple)), results[-1])
    return [ServiceImage(found[0])] if isinstance(found, tuple) else found


def _of_gallery(entry: _Entry, media: Mapping[str, _Media]) -> ServiceImage | Reason:
    image = media.get(entry.media_id)
    if image is None or image.status != "valid":
        return "removed"
    url = image.s.u or image.s.gif
    if url is None:
        return "video" if image.s.mp4 or image.e == "RedditVideo" else "other"
    return ServiceImage(html.unescape(url), html.unescape(entry.caption or ""))


def _image_at(url: str, post: _Post) -> tuple[str] | Reason:
    parts = _HTTP.match(url)  # four times as fast as urlsplit, and dumps have millions of posts
    host, path = (parts[1].rpartition("@")[2].partition(":")[0].lower(), parts[2]) if parts else ("", url)
    host = host.removeprefix("www.")
    hint = post.post_hint or ""
    if post.is_video or hint.endswith("video") or host in _VIDEO_HOSTS or _VIDEO.search(path):
        return "video"
    if not host:
        return "other"
    if hint == "image" or host in _IMAGE_HOSTS or _IMAGE.search(path):
        return (url,)
    page = _IMGUR_PAGE.fullmatch(path) if host in {"imgur.com", "m.imgur.com"} else None
    return (f"https://i.imgur.com/{page[1]}.jpg",) if page else "link"
