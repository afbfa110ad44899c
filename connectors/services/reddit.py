"""Reddit: subreddits and users, newest first, by its API (https://www.reddit.com/dev/api#GET_new)."""

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
"""Host, with user and port, and path."""
_IMAGE: Final = re.compile(r"\.(jpe?g|png|gif|webp|bmp|avif)$", re.IGNORECASE)
_VIDEO: Final = re.compile(r"\.(gifv|mp4|webm|mov)$", re.IGNORECASE)
_IMGUR_PAGE: Final = re.compile(r"/(\w{5,8})$")
"""A page with one image, whose file has the same name."""


class RedditSettings(PollSettings):
    """Who asks Reddit, and where."""

    reddit_client_id: SecretStr = Field(
        SecretStr(""),
        description="Of an application made at https://www.reddit.com/prefs/apps; needed for reddit:NAME.",
    )

    reddit_client_secret: SecretStr = Field(SecretStr(""), description="Of the same application.")

    reddit_user_agent: str = Field(
        "",
        max_length=256,
        description="Reddit wants to know who asks: 'linux:APPLICATION:v1.0 (by /u/NAME)'; empty: memewax and its version.",
    )

    reddit_url: str = Field(
        "https://oauth.reddit.com", pattern="^https?://.", description="Where Reddit's API is; another one for tests."
    )

    reddit_token_url: str = Field(
        "https://www.reddit.com/api/v1/access_token", pattern="^https?://.", description="Where Reddit gives tokens."
    )


class Reddit(Service[RedditSettings]):
    """Subreddits and users of Reddit."""

    name = "reddit"
    names_help = "a subreddit, or u/NAME"

    def opening(self, settings: RedditSettings) -> Opening:
        """Opens subreddits; raises `SettingsError` where the keys are not set."""
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
        """The posts after the one that `cursor` names."""
        params: dict[str, str | int] = {"limit": _PAGE}
        if self._is_user:
            params["sort"] = "new"
        if cursor is not None:
            params["after"] = cursor
        return self._client.get(self._path, params, page_of, watch=cursor is None)

    def look(self, item: ListingItem) -> ServicePost | Reason:
        """The post in an item, with its image or its gallery."""
        return look(item)


class _Source(BaseModel):
    u: str | None = None
    gif: str | None = None
    mp4: str | None = None


class _Media(BaseModel):
    status: str = "valid"
    """Some dumps leave it out."""
    e: str = ""
    s: _Source = _Source()


class _Entry(BaseModel):
    media_id: str
    caption: str | None = None


class _Gallery(BaseModel):
    items: list[_Entry] = []


class _Post(BaseModel):
    """What is read of a post; every age of the format has a part of it."""

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
"""Those that are read of a post."""


class _Thing(BaseModel):
    kind: str
    data: Any = None


def page_of(body: Any) -> Page:
    """The page in a listing; raises `TransientError` where it is none."""
    data = body.get("data") if isinstance(body, dict) else None
    children = data.get("children") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(children, list):
        raise TransientError("a listing without children")
    return Page([_item(child) for child in children], data.get("after") or None)


def look(item: ListingItem) -> ServicePost | Reason:
    """The post in an item; raises `ValueError` where it has not the form that is known."""
    thing = _Thing.model_validate(item.body)
    if thing.kind != "t3":  # a comment or a subreddit, in listings of both
        return "other"
    return look_at_post(thing.data)


def look_at_post(fields: Any) -> ServicePost | Reason:
    """The post that has these fields; raises `ValueError` where they have not the form that is known."""
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
    for it in (post, *(post.crosspost_parent_list or ())):  # a crosspost of a gallery has it in its parent
        if it.gallery_data is not None and it.media_metadata:
            return [_of_gallery(entry, it.media_metadata) for entry in it.gallery_data.items] or "removed"
    if post.is_gallery:
        return "removed"  # a gallery whose images are gone
    # the address of a crosspost may be that of its parent's page
    looks = [
        _image_at(html.unescape(it.url_overridden_by_dest or it.url), it)
        for it in (post, *(post.crosspost_parent_list or ()))
    ]
    found = next((it for it in looks if isinstance(it, tuple)), looks[-1])
    return [ServiceImage(found[0])] if isinstance(found, tuple) else found


def _of_gallery(entry: _Entry, media: Mapping[str, _Media]) -> ServiceImage | Reason:
    one = media.get(entry.media_id)
    if one is None or one.status != "valid":
        return "removed"
    url = one.s.u or one.s.gif
    if url is None:
        return "video" if one.s.mp4 or one.e == "RedditVideo" else "other"
    return ServiceImage(html.unescape(url), html.unescape(entry.caption or ""))


def _image_at(url: str, post: _Post) -> tuple[str] | Reason:
    parts = _HTTP.match(url)  # a quarter of the time of urlsplit, and dumps have millions
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
