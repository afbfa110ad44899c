"""Posts from items of the browser extension Zeeschuimer, whose `data` has each platform's own format.

The formats are those that 4CAT's importers read in 2026 (https://github.com/digitalmethodsinitiative/4cat); platforms
change them without notice. An item of unknown form becomes a dead letter; an unknown platform is reported.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from connectors.services.listing import PostBody, Reason, ServiceImage, ServicePost, posts_of
from connectors.services.markup import read_html
from core.times import parse_time

Item = Mapping[str, Any]
_MANY: Final = 8
"""Instagram's `media_type` of an album."""
_FILM: Final = 2
"""Instagram's `media_type` of a video."""


def is_collected(row: Item) -> bool:
    """Check whether a row is an item of Zeeschuimer."""
    return isinstance(row.get("data"), dict) and isinstance(row.get("source_platform"), str) and "item_id" in row


def collected_posts(row: Item) -> Sequence[PostBody] | str:
    """Return the posts of an item, or the reason why there are none; raises if it has an unknown form."""
    platform = row["source_platform"].lower().removeprefix("www.")
    known = _PLATFORMS.get(platform)
    if known is None:
        return "platform that is not known"
    source, look = known
    found = look(row["data"])
    if isinstance(found, str):
        return found
    if not any(isinstance(it, ServiceImage) for it in found.images):
        return next((it for it in found.images if isinstance(it, str)), "text")
    seen = row.get("timestamp_collected") or found.created
    return posts_of(found, source, parse_time(seen) if seen else datetime.now(UTC))


def _instagram(data: Item) -> ServicePost | Reason:
    if data.get("product_type") == "ad":
        return "other"
    if "shortcode" in data:
        return _instagram_graph(data)
    many = data["media_type"] == _MANY
    caption, user = data.get("caption") or {}, data.get("user") or data.get("owner") or {}
    return ServicePost(
        id=str(data["code"]),
        author=str(user.get("username") or ""),
        created=float(data.get("taken_at") or 0),
        title=str(caption.get("text") or ""),
        score=max(0, int(data.get("like_count") or 0)),
        images=[_instagram_image(it) for it in (data["carousel_media"] if many else [data])],
        permalink=f"https://www.instagram.com/p/{data['code']}",
        channel="",
    )


def _instagram_image(media: Item) -> ServiceImage | Reason:
    candidates = (media.get("image_versions2") or {}).get("candidates") or []
    if media.get("media_type") == _FILM or media.get("video_versions"):
        return "video"
    alt = str(media.get("accessibility_caption") or "")
    return ServiceImage(str(candidates[0]["url"]), alt) if candidates else "text"


def _instagram_graph(data: Item) -> ServicePost:
    edges = data.get("edge_sidecar_to_children", {}).get("edges")
    captions = data.get("edge_media_to_caption", {}).get("edges") or []
    user = data.get("user") or data.get("owner") or {}
    media = [it["node"] for it in edges] if edges else [data]
    likes = data.get("edge_media_preview_like") or data.get("edge_liked_by") or {}
    return ServicePost(
        id=str(data["shortcode"]),
        author=str(user.get("username") or ""),
        created=float(data.get("taken_at_timestamp") or 0),
        title=str(captions[0]["node"]["text"]) if captions else "",
        score=max(0, int(likes.get("count") or 0)),
        images=[
            "video" if it.get("is_video") or "Video" in str(it.get("__typename")) else ServiceImage(it["display_url"])
            for it in media
        ],
        permalink=f"https://www.instagram.com/p/{data['shortcode']}",
        channel="",
    )


def _threads(data: Item) -> ServicePost:
    user, caption = data["user"], data.get("caption") or {}
    media = data.get("carousel_media") or [data]
    return ServicePost(
        id=str(data["code"]),
        author=str(user.get("username") or ""),
        created=float(data.get("taken_at") or 0),
        title=str(caption.get("text") or ""),
        score=int(data.get("like_count") or 0),
        images=[_instagram_image(it) for it in media],
        permalink=f"https://www.threads.com/@{user.get('username')}/post/{data['code']}",
        channel="",
    )


def _tiktok(data: Item) -> ServicePost | Reason:
    author = data.get("author")
    name = author.get("uniqueId") if isinstance(author, dict) else author
    images = (data.get("imagePost") or {}).get("images")
    if not images:
        return "video" if "video" in data else "text"
    return ServicePost(
        id=str(data["id"]),
        author=str(name or ""),
        created=float(data.get("createTime") or 0),
        title=str(data.get("desc") or ""),
        score=int((data.get("stats") or {}).get("diggCount") or 0),
        images=[ServiceImage(str(it["imageURL"]["urlList"][0])) for it in images],
        permalink=f"https://www.tiktok.com/@{name}/photo/{data['id']}",
        channel="",
    )


def _twitter(data: Item) -> ServicePost | Reason:
    tweet = data.get("tweet", data)  # tweets of limited visibility are nested
    legacy = tweet["legacy"]
    if legacy.get("retweeted_status_result"):
        return "other"  # a retweet
    user = tweet.get("core", {}).get("user_results", {}).get("result", {}) or tweet.get("user") or {}
    name = (user.get("core") or user.get("legacy") or user).get("screen_name") or ""
    media = (legacy.get("extended_entities") or legacy.get("entities") or {}).get("media") or []
    number = str(tweet.get("rest_id") or legacy["id_str"])
    return ServicePost(
        id=number,
        author=str(name),
        created=parse_time(legacy["created_at"]).timestamp(),
        title=str(legacy.get("full_text") or ""),
        score=int(legacy.get("favorite_count") or 0),
        images=[
            ServiceImage(str(it["media_url_https"]), str(it.get("ext_alt_text") or ""))
            if it.get("type") == "photo"
            else "video"
            for it in media
        ],
        permalink=f"https://x.com/{name}/status/{number}",
        channel="",
        nsfw=bool(legacy.get("possibly_sensitive")),
        extra={"langs": [legacy["lang"]]} if legacy.get("lang") else {},
    )


def _ninegag(data: Item) -> ServicePost | Reason:
    if data.get("promoted"):
        return "other"
    if data.get("type") != "Photo":
        return "video" if data.get("type") in {"Animated", "Video"} else "text"
    stills = [it for it in data["images"].values() if "hasAudio" not in it]
    largest = max(stills, key=lambda it: int(it["width"]) * int(it["height"]))
    section = data.get("postSection") or {}
    return ServicePost(
        id=str(data["id"]),
        author=str((data.get("creator") or {}).get("username") or ""),
        created=float(data.get("creationTs") or 0),
        title="\n".join(filter(None, (data.get("title"), data.get("description")))),
        score=int(data.get("upVoteCount") or 0) - int(data.get("downVoteCount") or 0),
        images=[ServiceImage(str(largest["url"]))],
        permalink=str(data.get("url") or ""),
        channel=str(section.get("name") or ""),
        nsfw=bool(data.get("nsfw")),
        extra={"tags": [it["key"] for it in data.get("tags") or ()]},
    )


def _imgur(data: Item) -> ServicePost | Reason:
    if data.get("is_ad"):
        return "other"
    cover = data["cover"]
    return ServicePost(
        id=str(data["id"]),
        author=str(data.get("account_id") or ""),
        created=parse_time(data["created_at"]).timestamp(),
        title="\n".join(filter(None, (data.get("title"), data.get("description")))),
        score=int(data.get("point_count") or 0),
        images=[ServiceImage(str(cover["url"])) if cover.get("type") == "image" else "video"],
        permalink=str(data.get("url") or ""),
        channel="",
        nsfw=bool(data.get("is_mature")),
    )


def _pinterest(data: Item) -> ServicePost | Reason:
    if data.get("isVideo") or data.get("videos"):
        return "video"
    number = str(data.get("entityId") or data["id"])
    if data.get("_zs-origin") == "html":  # collected from the page, with fewer fields
        image = data["image"]
    else:
        image = (data.get("imageSpec_orig") or data["images"]["orig"])["url"]
    created = data.get("created_at") or data.get("createdAt")
    texts = (data.get("title"), data.get("description") or data.get("body"), data.get("auto_alt_text"))
    return ServicePost(
        id=number,
        author=str((data.get("pinner") or {}).get("username") or ""),
        created=parse_time(created).timestamp() if created else 0.0,
        title="\n".join(it.strip() for it in texts if isinstance(it, str) and it.strip()),
        score=0,
        images=[ServiceImage(str(image))],
        permalink=f"https://www.pinterest.com/pin/{number}",
        channel=str((data.get("board") or {}).get("name") or ""),
    )


def _truth_social(data: Item) -> ServicePost | Reason:
    if data.get("reblog"):
        return "other"
    return ServicePost(
        id=str(data["id"]),
        author=str(data["account"]["username"]),
        created=parse_time(data["created_at"]).timestamp(),
        title=read_html(data.get("content") or "").text,
        score=int(data.get("favourites_count") or 0),
        images=[
            ServiceImage(str(it["url"]), str(it.get("description") or "")) if it.get("type") == "image" else "video"
            for it in data.get("media_attachments") or ()
        ],
        permalink=str(data.get("url") or ""),
        channel=str((data.get("group") or {}).get("display_name") or ""),
        nsfw=bool(data.get("sensitive")),
    )


_PLATFORMS: Final[dict[str, tuple[str, Callable[[Item], ServicePost | Reason]]]] = {
    "instagram.com": ("instagram", _instagram),
    "threads.net": ("threads", _threads),
    "threads.com": ("threads", _threads),
    "tiktok.com": ("tiktok", _tiktok),
    "twitter.com": ("twitter", _twitter),
    "x.com": ("twitter", _twitter),
    "9gag.com": ("9gag", _ninegag),
    "imgur.com": ("imgur", _imgur),
    "pinterest.com": ("pinterest", _pinterest),
    "truthsocial.com": ("truthsocial", _truth_social),
}
"""Name of the source and parser, by Zeeschuimer's name of the platform."""

PLATFORMS: Final = tuple(dict.fromkeys(source for source, _ in _PLATFORMS.values()))
