"""Tumblr: blogs and tags, newest first, by its API of version 2 (https://www.tumblr.com/docs/en/api/v2).

Posts come in three forms: the old ones by type (`photo`, `text`), new ones rendered as HTML in those, and blocks of
content ("Neue Post Format"), which are asked for but not given everywhere.
"""

import html
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from pydantic import BaseModel, Field, SecretStr

from connectors.services.api_client import ApiClient
from connectors.services.api_web import ApiWeb, TransientError
from connectors.services.listing import Cursor, Listing, ListingItem, Page, Reason, ServiceImage, ServicePost, item_of
from connectors.services.markup import read_html
from connectors.services.poll_settings import PollSettings
from connectors.services.polling_source import Opening
from connectors.services.rate_limit import Quota
from connectors.services.service import Service

QUOTAS: Final = (
    Quota("x-ratelimit-perhour-remaining", "x-ratelimit-perhour-reset"),
    Quota("x-ratelimit-perday-remaining", "x-ratelimit-perday-reset"),
)
_PAGE: Final = 20


class TumblrSettings(PollSettings):
    """Who asks Tumblr, and where."""

    tumblr_api_key: SecretStr = Field(
        SecretStr(""),
        description="The consumer key of an application made at https://www.tumblr.com/oauth/apps; needed for tumblr:NAME.",
    )

    tumblr_url: str = Field("https://api.tumblr.com/v2", pattern="^https?://.", description="Where Tumblr's API is.")


class Tumblr(Service[TumblrSettings]):
    """Blogs and tags of Tumblr."""

    name = "tumblr"
    names_help = "a blog, or tag/NAME"

    def opening(self, settings: TumblrSettings) -> Opening:
        """Opens blogs; raises `SettingsError` where the key is not set."""
        self.need("an application at https://www.tumblr.com/oauth/apps", tumblr_api_key=settings.tumblr_api_key)
        return self.opened_by(Blog, settings.tumblr_url, ApiKey(settings.tumblr_api_key), QUOTAS)


class ApiKey:
    """The key of an application. Tumblr takes it as a part of the query, so no URL may be logged."""

    variables = "MEMEWAX_TUMBLR_API_KEY"

    def __init__(self, key: SecretStr) -> None:
        self._key = key

    def headers(self, web: ApiWeb) -> Mapping[str, str]:  # noqa: ARG002
        """None."""
        return {}

    def params(self) -> Mapping[str, str]:
        """The key."""
        return {"api_key": self._key.get_secret_value()}

    def renew(self) -> bool:
        """There is no other one."""
        return False


class Blog(Listing):
    """The posts of a blog (`name`, or its host), or of all blogs with a tag (`tag/<tag>`)."""

    service = "tumblr"

    def __init__(self, client: ApiClient, name: str) -> None:
        self._client = client
        kind, _, tag = name.partition("/")
        self._tag = tag if kind == "tag" else ""
        self._path = "tagged" if self._tag else f"blog/{quote(name, safe='')}/posts"

    def page(self, cursor: Cursor | None) -> Page | None:
        """The posts before a time, in seconds since 1970."""
        params: dict[str, str | int] = {"limit": _PAGE, "npf": "true"}
        if self._tag:
            params["tag"] = self._tag
        if cursor is not None:
            params["before"] = cursor
        return self._client.get(self._path, params, lambda body: page_of(body, cursor), watch=cursor is None)

    def look(self, item: ListingItem) -> ServicePost | Reason:
        """The post in an item, with its images."""
        return look(item)


class _Media(BaseModel):
    url: str = ""
    width: int = 0
    height: int = 0


class _Photo(BaseModel):
    caption: str | None = None
    original_size: _Media | None = None
    alt_sizes: list[_Media] = []


class _Block(BaseModel):
    type: str = ""
    text: str | None = None
    alt_text: str | None = None
    media: Any = None


class _Trail(BaseModel):
    content: Any = None


class _Post(BaseModel):
    """What is read of a post in any of its forms."""

    id: int | str
    id_string: str | None = None
    blog_name: str = ""
    timestamp: float = 0.0
    note_count: int | None = None
    post_url: str = ""
    state: str | None = None
    type: str = ""
    title: str | None = None
    summary: str | None = None
    caption: str | None = None
    body: str | None = None
    photos: list[_Photo] | None = None
    content: list[_Block] | None = None
    trail: list[_Trail] | None = None
    is_nsfw: bool | None = None
    classification: str | None = None
    tags: list[str] = []


def page_of(body: Any, cursor: Cursor | None = None) -> Page:
    """The page in an answer; raises `TransientError` where it is none."""
    response = body.get("response") if isinstance(body, dict) else None
    posts = response.get("posts") if isinstance(response, dict) else response
    if not isinstance(posts, list):
        raise TransientError("an answer without posts")
    items = [_item(post) for post in posts]
    return Page(items, _before(posts, cursor))


def look(item: ListingItem) -> ServicePost | Reason:
    """The post in an item; raises `ValueError` where it has not the form that is known."""
    post = _Post.model_validate(item.body)
    if post.state not in {None, "published"}:
        return "removed"
    title, images, has_video = _blocks(post) if post.content is not None else _legacy(post)
    if not images:
        return "video" if has_video or post.type == "video" else "link" if post.type == "link" else "text"
    return ServicePost(
        id=post.id_string or str(post.id),
        author=post.blog_name,
        created=post.timestamp,
        title=title,
        score=post.note_count or 0,
        images=images,
        permalink=post.post_url,
        channel=post.blog_name,
        nsfw=bool(post.is_nsfw) or post.classification in {"nsfw", "explicit", "adult"},
        extra={"tags": post.tags},
    )


def _item(post: Any) -> ListingItem:
    known = post if isinstance(post, dict) else {}
    name = known.get("id_string") or known.get("id")
    pinned = bool(known.get("is_pinned"))
    return item_of(post, str(name) if name else None, known.get("timestamp"), pinned=pinned)


def _before(posts: list[Any], cursor: Cursor | None) -> int | None:
    """Before when the next page is: a second late, so that posts of the same second are not cut off."""
    known = [post for post in posts if isinstance(post, dict) and not post.get("is_pinned")]
    times = [post.get("featured_timestamp") or post.get("timestamp") for post in known]
    seconds = [int(time) for time in times if isinstance(time, int | float)]
    if not seconds:
        return None
    last = seconds[-1]
    if cursor is None or last + 1 < int(cursor):
        return last + 1
    return last if last < int(cursor) else None


def _legacy(post: _Post) -> tuple[str, list[ServiceImage | Reason], bool]:
    """Title, images, and whether there is a video, of a post by type."""
    content = read_html(post.caption or post.body or "")
    title = "\n".join(filter(None, (html.unescape(post.title or ""), content.text))) or post.summary or ""
    if post.photos is not None:
        return title, [_photo(photo) for photo in post.photos], False
    return title, [ServiceImage(url) for url in content.images], content.has_video


def _photo(photo: _Photo) -> ServiceImage | Reason:
    sizes = [it for it in (photo.original_size, *photo.alt_sizes) if it is not None and it.url]
    if not sizes:
        return "removed"
    best = max(sizes, key=lambda it: it.width * it.height)
    return ServiceImage(html.unescape(best.url), read_html(photo.caption or "").text)


def _blocks(post: _Post) -> tuple[str, list[ServiceImage | Reason], bool]:
    """The same of a post of blocks; one that only passes on another's has nothing but what it passes on."""
    blocks = post.content or []
    if not any(block.type == "image" for block in blocks):
        passed_on = [it.content for it in post.trail or [] if isinstance(it.content, list)]
        blocks = [*blocks, *(_Block.model_validate(it) for content in passed_on for it in content)]
    texts = [block.text for block in blocks if block.type == "text" and block.text]
    images = [_block_image(block) for block in blocks if block.type == "image"]
    return "\n".join(texts) or post.summary or "", images, any(block.type == "video" for block in blocks)


def _block_image(block: _Block) -> ServiceImage | Reason:
    sizes = [_Media.model_validate(it) for it in (block.media if isinstance(block.media, list) else [block.media])]
    best = max(sizes, key=lambda it: it.width * it.height, default=_Media())
    return ServiceImage(html.unescape(best.url)) if best.url else "removed"
