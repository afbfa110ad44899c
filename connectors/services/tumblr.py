"""Tumblr: blogs and tags, newest first, through API version 2 (https://www.tumblr.com/docs/en/api/v2).

Posts have three formats: legacy posts by type (`photo`, `text`), new posts rendered as HTML in a legacy post, and
blocks of content (NPF, "Neue Post Format"), which is requested but not available everywhere.
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
    """Credentials and URL of Tumblr's API."""

    tumblr_api_key: SecretStr = Field(
        SecretStr(""),
        description="The consumer key of an application registered at https://www.tumblr.com/oauth/apps; required for tumblr:NAME.",
    )

    tumblr_url: str = Field("https://api.tumblr.com/v2", pattern="^https?://.", description="URL of Tumblr's API.")


class Tumblr(Service[TumblrSettings]):
    """Blogs and tags of Tumblr."""

    name = "tumblr"
    names_help = "a blog, or tag/NAME"

    def opening(self, settings: TumblrSettings) -> Opening:
        """Return a function that opens blogs; raises `SettingsError` if the key is not set."""
        self.need("an application at https://www.tumblr.com/oauth/apps", tumblr_api_key=settings.tumblr_api_key)
        return self.opened_by(Blog, settings.tumblr_url, ApiKey(settings.tumblr_api_key), QUOTAS)


class ApiKey:
    """The key of an application. Tumblr takes it as a query parameter, so URLs must not be logged."""

    variables = "MEMEWAX_TUMBLR_API_KEY"

    def __init__(self, key: SecretStr) -> None:
        self._key = key

    def headers(self, web: ApiWeb) -> Mapping[str, str]:  # noqa: ARG002
        """Return no headers."""
        return {}

    def params(self) -> Mapping[str, str]:
        """Return the key as a query parameter."""
        return {"api_key": self._key.get_secret_value()}

    def renew(self) -> bool:
        """Return False: there is no other key."""
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
        """Request the posts before `cursor`, in seconds since 1970."""
        params: dict[str, str | int] = {"limit": _PAGE, "npf": "true"}
        if self._tag:
            params["tag"] = self._tag
        if cursor is not None:
            params["before"] = cursor
        return self._client.get(self._path, params, lambda body: page_of(body, cursor), watch=cursor is None)

    def parse_item(self, item: ListingItem) -> ServicePost | Reason:
        """Parse the post in an item, with its images."""
        return parse_item(item)


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
    """The fields read from a post, in any format."""

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
    """Parse a page; raises `TransientError` if the response has an unexpected form."""
    response = body.get("response") if isinstance(body, dict) else None
    posts = response.get("posts") if isinstance(response, dict) else response
    if not isinstance(posts, list):
        raise TransientError("a response without posts")
    items = [_item(post) for post in posts]
    return Page(items, _before(posts, cursor))


def parse_item(item: ListingItem) -> ServicePost | Reason:
    """Parse the post in an item; raises `ValueError` if it has an unknown form."""
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
    """Return the cursor of the next page: one second after the last post, so that posts of that second are not lost."""
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
    """Return the title, the images and whether there is a video, from a legacy post."""
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
    """Return the same from an NPF post. For a plain reblog, use the content of the reblogged post (`trail`)."""
    blocks = post.content or []
    if not any(block.type == "image" for block in blocks):
        reblogged = [it.content for it in post.trail or [] if isinstance(it.content, list)]
        blocks = [*blocks, *(_Block.model_validate(it) for content in reblogged for it in content)]
    texts = [block.text for block in blocks if block.type == "text" and block.text]
    images = [_block_image(block) for block in blocks if block.type == "image"]
    return "\n".join(texts) or post.summary or "", images, any(block.type == "video" for block in blocks)


def _block_image(block: _Block) -> ServiceImage | Reason:
    sizes = [_Media.model_validate(it) for it in (block.media if isinstance(block.media, list) else [block.media])]
    best = max(sizes, key=lambda it: it.width * it.height, default=_Media())
    return ServiceImage(html.unescape(best.url)) if best.url else "removed"
