"""Feeds: RSS, Atom and JSON Feed; each is a listing of one page. They need no credentials."""

import calendar
import re
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, ClassVar, Final
from urllib.parse import urljoin, urlsplit

import orjson
from pydantic import Field

from connectors.fetching.address_policy import AddressPolicy
from connectors.fetching.allow_settings import AllowSettings
from connectors.services.api_client import ApiClient
from connectors.services.api_web import ApiAnswer, ApiWeb, TransientError
from connectors.services.listing import Cursor, Listing, ListingItem, Page, Reason, ServiceImage, ServicePost, item_of
from connectors.services.markup import IMAGE_ENDING, read_html
from connectors.services.poll_settings import PollSettings
from connectors.services.polling_source import Opening
from connectors.services.rate_limit import RateLimiter, rate_limiter_of_host
from connectors.services.refusals import MissingError
from connectors.services.service import Service
from core.errors import SettingsError
from core.json_text import json_of
from core.times import time_or_none

_BETWEEN: Final = re.compile(r"\+(?=https?://)")
_LONGEST_ID: Final = 400
_Entry = dict[str, Any]


class FeedSettings(PollSettings, AllowSettings):
    """How to poll feeds."""

    feed_interval_seconds: float = Field(
        900.0,
        ge=60,
        le=86_400,
        description="Seconds between two requests for one feed, with --follow; longer than for APIs, as feeds expect.",
    )


class Feed(Service[FeedSettings]):
    """Feeds, named by their URLs."""

    name = "feed"
    names_help = "the URL of an RSS, Atom or JSON feed"
    naming = "URL"
    redirects: ClassVar[int] = 5

    @classmethod
    def names_in(cls, text: str) -> tuple[str, ...]:
        """Parse the URLs in an address; raises `SettingsError` if one is not an HTTP(S) URL."""
        names = tuple(dict.fromkeys(url.strip() for url in _BETWEEN.split(text) if url.strip()))
        for url in names:
            if urlsplit(url).scheme not in {"http", "https"}:
                raise SettingsError(
                    f"expected the URL of a feed, as in feed:https://lemmy.world/feeds/c/memes.xml, found {url!r}"
                )
        return names

    def interval(self, settings: FeedSettings) -> float:
        """Return the seconds between two requests for one feed."""
        return max(settings.feed_interval_seconds, settings.poll_interval_seconds)

    def rate_limiter(self, name: str) -> RateLimiter:
        """Return the rate limiter of the feed's host, so that a slow host or long Retry-After delays no other host."""
        return rate_limiter_of_host(urlsplit(name).netloc.rpartition("@")[2])

    def opening(self, settings: FeedSettings) -> Opening:
        """Return a function that opens feeds; raises `SettingsError` if `fetch_allow` is invalid."""
        return self.opened_by(FeedListing, "", NoCredentials(), allowed=AddressPolicy.of(settings.fetch_allow))


class NoCredentials:
    """Credentials of services that need none."""

    variables = ""

    def headers(self, web: ApiWeb) -> Mapping[str, str]:  # noqa: ARG002
        """Return the Accept header, which prefers feeds to web pages."""
        return {"accept": "application/feed+json, application/atom+xml, application/rss+xml, */*;q=0.5"}

    def params(self) -> Mapping[str, str]:
        """Return no parameters."""
        return {}

    def renew(self) -> bool:
        """Return False: there are no other credentials."""
        return False


class FeedListing(Listing):
    """The entries of a feed."""

    service = "feed"

    def __init__(self, client: ApiClient, url: str) -> None:
        self._client = client
        self._url = url

    @property
    def marks(self) -> Mapping[str, str]:
        """Return the conditional headers (ETag, Last-Modified) of the feed."""
        return self._client.marks(self._url)

    def remember(self, marks: Mapping[str, str]) -> None:
        """Restore the conditional headers, so that an unchanged feed is not read again."""
        self._client.remember(self._url, marks)

    def page(self, cursor: Cursor | None) -> Page | None:  # noqa: ARG002 - there is one page
        """Read the feed; return None if it has not changed. Raises `WorldError` if there is no feed."""
        return self._client.get(self._url, {}, _page, watch=True, decode=lambda answer: entries_of(answer, self._url))

    def parse_item(self, item: ListingItem) -> ServicePost | Reason:
        """Parse the post in an entry."""
        return parse_item(item)


def entries_of(answer: ApiAnswer, url: str) -> list[_Entry]:
    """Parse a feed of any format into entries of plain values; raises `WorldError` if it is not a feed.

    Args:
        answer: The server's response.
        url: The feed's URL, which relative URLs are resolved against.
    """
    import feedparser

    body = answer.body.removeprefix(BOM_UTF8)
    if body.lstrip()[:1] == b"{":
        return _of_json(body, url)
    parsed = feedparser.parse(body, response_headers={"content-location": url, **dict(answer.headers)})
    if not parsed.get("version") and not parsed.entries:
        raise MissingError(f"{url} is not an RSS, Atom or JSON feed: look for the feed's URL on the site's pages")
    title = str(parsed.feed.get("title") or "")
    return [_of_xml(entry, title, url) for entry in parsed.entries]


def parse_item(item: ListingItem) -> ServicePost | Reason:
    """Parse the post in an entry; raises `ValueError` if it has an unknown form."""
    entry = item.body
    if not isinstance(entry, dict) or not item.id:
        raise ValueError("an entry without an id or a link")
    content = read_html(entry["html"])
    images: Sequence[str] = entry["images"] or content.images[:1] or entry["thumbnails"][:1]
    if not images:
        return "video" if entry["has_video"] or content.has_video else "text"
    title = read_html(entry["title"]).text
    return ServicePost(
        id=item.id,
        author=entry["author"],
        created=item.created,
        title=title or content.text[:2000],
        score=0,
        images=[ServiceImage(urljoin(entry["link"] or entry["feed"], it)) for it in dict.fromkeys(images)],
        permalink=entry["link"],
        channel=entry["channel"],
        extra={"tags": entry["tags"]},
    )


def _page(entries: Any) -> Page:
    return Page([item_of(entry, _id(entry), entry["created"]) for entry in entries], None)


def _id(entry: _Entry) -> str | None:
    """Return the entry's guid, or else its link.

    A guid that is not a URI gets the host as prefix, since other feeds may use the same number. Long ids are hashed.
    """
    name = str(entry["id"] or entry["link"] or "")
    if name and ":" not in name:
        name = f"{urlsplit(entry['feed']).hostname}/{name}"
    if len(name) > _LONGEST_ID:
        name = blake2b(name.encode(), digest_size=16).hexdigest()
    return name or None


def _of_xml(entry: Any, title: str, url: str) -> _Entry:
    bodies = [it.get("value") or "" for it in entry.get("content") or ()]
    files = [it for it in entry.get("links") or () if it.get("rel") == "enclosure"]
    media = list(entry.get("media_content") or ())
    times = (entry.get(name) for name in ("published_parsed", "updated_parsed"))
    return {
        "feed": url,
        "id": entry.get("id"),
        "link": entry.get("link") or "",
        "title": entry.get("title") or "",
        "html": next(filter(None, [*bodies, entry.get("summary") or "", entry.get("media_description") or ""]), ""),
        "images": [it["href"] for it in files if _is_image(it, "href")] or _of_media(media),
        "thumbnails": [it["url"] for it in entry.get("media_thumbnail") or () if it.get("url")],
        "has_video": any(str(it.get("type") or it.get("medium")).startswith("video") for it in (*files, *media)),
        "author": entry.get("author") or "",
        "created": next((float(calendar.timegm(it)) for it in times if it), 0.0),
        "channel": title,
        "tags": [it["term"] for it in entry.get("tags") or () if it.get("term")],
    }


def _of_media(media: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the images of Media RSS: the widest of one image in several sizes (widths differ), otherwise all."""
    found = [it for it in media if _is_image(it, "url")]
    widths = [int(it["width"]) for it in found if str(it.get("width")).isdecimal()]
    if len(found) > 1 and len(widths) == len(found) and len(set(widths)) > 1:
        found = [max(found, key=lambda it: int(it["width"]))]
    return [it["url"] for it in found]


def _is_image(it: Mapping[str, Any], name: str) -> bool:
    url, kind = it.get(name), str(it.get("type") or it.get("medium") or it.get("mime_type") or "")
    return bool(url) and (
        kind.startswith("image") or (not kind and IMAGE_ENDING.search(urlsplit(str(url)).path) is not None)
    )


def _of_json(data: bytes, url: str) -> list[_Entry]:
    try:
        feed = json_of(data)
    except orjson.JSONDecodeError:
        raise TransientError("the JSON feed is incomplete") from None
    items = feed.get("items")
    if "jsonfeed.org" not in str(feed.get("version")) or not isinstance(items, list):
        raise MissingError(f"{url} is JSON but not a JSON feed: its version is not a URL at jsonfeed.org")
    return [_of_item(it, str(feed.get("title") or ""), url) for it in items if isinstance(it, dict)]


def _of_item(item: Mapping[str, Any], title: str, url: str) -> _Entry:
    files = [it for it in _listed(item.get("attachments")) if isinstance(it, dict)]
    authors = _listed(item.get("authors") or item.get("author"))
    images = [it["url"] for it in files if _is_image(it, "url")]
    date = item.get("date_published") or item.get("date_modified")
    time = time_or_none(date) if isinstance(date, str) else None
    return {
        "feed": url,
        "id": item.get("id"),
        "link": item.get("url") or item.get("external_url") or "",
        "title": item.get("title") or "",
        "html": item.get("content_html") or item.get("content_text") or item.get("summary") or "",
        "images": [*([item["image"]] if item.get("image") else []), *images],
        "thumbnails": [item["banner_image"]] if item.get("banner_image") else [],
        "has_video": any(str(it.get("mime_type")).startswith("video") for it in files),
        "author": next((str(it["name"]) for it in authors if isinstance(it, dict) and it.get("name")), ""),
        "created": time.timestamp() if time else 0.0,
        "channel": title,
        "tags": [it for it in _listed(item.get("tags")) if isinstance(it, str)],
    }


def _listed(value: Any) -> list[Any]:
    """Return a list as it is, a single value as a list of one, and None as an empty list."""
    return value if isinstance(value, list) else [] if value is None else [value]
