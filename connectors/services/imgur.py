"""Imgur: galleries, tags, subreddits and users, newest first, through API version 3 (https://apidocs.imgur.com)."""

import html
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from pydantic import BaseModel, Field, SecretStr

from connectors.services.api_client import ApiClient
from connectors.services.api_web import ApiWeb, TransientError
from connectors.services.listing import Cursor, Listing, ListingItem, Page, Reason, ServiceImage, ServicePost, item_of
from connectors.services.poll_settings import PollSettings
from connectors.services.polling_source import Opening
from connectors.services.rate_limit import Quota
from connectors.services.refusals import MissingError
from connectors.services.service import Service
from core.errors import SettingsError

QUOTAS: Final = (
    Quota("x-ratelimit-userremaining", "x-ratelimit-userreset"),
    Quota("x-ratelimit-clientremaining", "x-ratelimit-clientreset"),
)
_GALLERIES: Final = {"hot": "gallery/hot/time/day", "top": "gallery/top/top/day", "new": "gallery/user/time/day"}
_KINDS: Final = {
    "r": "gallery/r/{}/time",
    "tag": "gallery/t/{}/time/day",
    "user": "account/{}/submissions",
}


class ImgurSettings(PollSettings):
    """Credentials and URL of Imgur's API."""

    imgur_client_id: SecretStr = Field(
        SecretStr(""),
        description="The client id of an application registered at https://api.imgur.com/oauth2/addclient; required for imgur:NAME.",
    )

    imgur_url: str = Field("https://api.imgur.com/3", pattern="^https?://.", description="URL of Imgur's API.")


class Imgur(Service[ImgurSettings]):
    """Galleries, tags, subreddits and users of Imgur."""

    name = "imgur"
    names_help = "hot, top, new, r/NAME, tag/NAME or user/NAME"

    def opening(self, settings: ImgurSettings) -> Opening:
        """Return a function that opens galleries; raises `SettingsError` if a name is invalid or the key is not set."""
        for name in self.names:
            path_of(name)
        self.need("an application at https://api.imgur.com/oauth2/addclient", imgur_client_id=settings.imgur_client_id)
        return self.opened_by(Gallery, settings.imgur_url, ClientId(settings.imgur_client_id), QUOTAS)


class ClientId:
    """The client id of an application; Imgur requires nothing else for public images."""

    variables = "MEMEWAX_IMGUR_CLIENT_ID"

    def __init__(self, client_id: SecretStr) -> None:
        self._client_id = client_id

    def headers(self, web: ApiWeb) -> Mapping[str, str]:  # noqa: ARG002
        """Return the authorization header."""
        return {"authorization": f"Client-ID {self._client_id.get_secret_value()}"}

    def params(self) -> Mapping[str, str]:
        """Return no parameters."""
        return {}

    def renew(self) -> bool:
        """Return False: there is no other id."""
        return False


class Gallery(Listing):
    """The listing `hot`, `top`, `new`, `r/<subreddit>`, `tag/<tag>` or `user/<name>`."""

    service = "imgur"
    shifts = True

    def __init__(self, client: ApiClient, name: str) -> None:
        self._client = client
        self._name = name
        self._path = path_of(name)

    def page(self, cursor: Cursor | None) -> Page | None:
        """Request the page with the number `cursor`, counted from 0."""
        number = int(cursor or 0)
        params: dict[str, str | int] = {"album_previews": 1, "mature": "true"}
        path = f"{self._path}/{number}"
        return self._client.get(path, params, lambda body: page_of(body, number), watch=cursor is None)

    def parse_item(self, item: ListingItem) -> ServicePost | Reason:
        """Parse the image or album in an item; a second request gets images of an album that the listing leaves out."""
        entry = _Entry.model_validate(item.body)
        if entry.images is not None and len(entry.images) < (entry.images_count or 0):
            try:
                images = self._client.get(f"album/{quote(entry.id, safe='')}/images", {}, _list)
            except MissingError:
                return "removed"
            entry = entry.model_copy(update={"images": [_Image.model_validate(it) for it in images or ()]})
        return found_in(entry, self._name)


class _Image(BaseModel):
    """The fields read from an image."""

    id: str
    title: str | None = None
    description: str | None = None
    type: str | None = None
    link: str = ""


class _Entry(_Image):
    """The fields read from an entry of a gallery: an image, or an album with some of its images."""

    datetime: float = 0.0
    account_url: str | None = None
    section: str | None = None
    nsfw: bool | None = None
    is_ad: bool | None = None
    points: int | None = None
    score: int | None = None
    ups: int | None = None
    downs: int | None = None
    images_count: int | None = None
    images: list[_Image] | None = None
    is_album: bool | None = None


def path_of(name: str) -> str:
    """Return the API path of a listing; raises `SettingsError` if its name is invalid."""
    kind, _, rest = name.partition("/")
    if name in _GALLERIES:
        return _GALLERIES[name]
    if kind in _KINDS and rest:
        return _KINDS[kind].format(quote(rest, safe=""))
    known = [*_GALLERIES, *(f"{it}/NAME" for it in _KINDS)]
    raise SettingsError(f"imgur has no {name!r}; expected one of {', '.join(known)}")


def page_of(body: Any, number: int = 0) -> Page:
    """Parse a page: a list, the items of a tag, or a single entry; raises `TransientError` if it is none of these."""
    entries = _list(body)
    return Page([_item(entry) for entry in entries], number + 1 if entries else None)


def parse_item(item: ListingItem) -> ServicePost | Reason:
    """Parse the image or album in an item without further requests; raises `ValueError` if it has an unknown form."""
    return found_in(_Entry.model_validate(item.body), "")


def found_in(entry: _Entry, channel: str) -> ServicePost | Reason:
    """Return the post of an entry, or the reason why there is none."""
    if entry.is_ad:
        return "other"
    is_album = bool(entry.is_album) or entry.images is not None
    images = (entry.images or []) if is_album else [entry]
    if not images:
        return "removed"
    found = [_image(it, captioned=is_album) for it in images]
    if all(isinstance(it, str) for it in found) and len(found) == 1:
        return found[0] if isinstance(found[0], str) else "other"
    return ServicePost(
        id=entry.id,
        author=entry.account_url or "",
        created=entry.datetime,
        title=html.unescape(entry.title or ""),
        score=_score(entry),
        images=found,
        permalink=f"https://imgur.com/{'a/' if is_album else ''}{entry.id}",
        channel=entry.section or channel,
        nsfw=bool(entry.nsfw),
    )


def _list(body: Any) -> list[Any]:
    data = body.get("data") if isinstance(body, dict) else None
    if isinstance(data, dict) and isinstance(data.get("items"), list):
        data = data["items"]
    if isinstance(data, dict) and "id" in data:
        data = [data]
    if not isinstance(data, list):
        raise TransientError("a response without data")
    return data


def _item(entry: Any) -> ListingItem:
    known = entry if isinstance(entry, dict) else {}
    name = known.get("id")
    return item_of(entry, str(name) if name else None, known.get("datetime"))


def _image(image: _Image, *, captioned: bool) -> ServiceImage | Reason:
    kind = image.type or ""
    if kind.startswith("video/"):
        return "video"
    url = html.unescape(image.link)
    if not url.startswith(("http://", "https://")):
        return "removed"
    texts = (image.title, image.description) if captioned else (image.description,)
    return ServiceImage(url, html.unescape("\n".join(filter(None, texts))))


def _score(entry: _Entry) -> int:
    """Return upvotes minus downvotes, as people see it, or Imgur's own score if the image was never in the gallery."""
    if entry.points is not None:
        return entry.points
    if entry.ups is not None:
        return entry.ups - (entry.downs or 0)
    return entry.score or 0
