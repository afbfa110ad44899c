"""Posts from chat exports of Telegram Desktop and DiscordChatExporter.

A row is a message, with metadata of its chat in `chat`. Paths of images are relative to the export's folder.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from connectors.services.listing import PostBody
from core.times import time_or_none

_LEFT_OUT: Final = ("(File not included", "(File exceeds maximum size", "(File unavailable")
"""What Telegram writes instead of the path of a file that was not exported."""
_IMAGE: Final = re.compile(r"\.(jpe?g|png|gif|webp|bmp|tiff?|avif|heic)$", re.IGNORECASE)
_VIDEO: Final = re.compile(r"\.(mp4|mov|webm|mkv|avi|m4v)$", re.IGNORECASE)
_FILMS: Final = frozenset({"video_file", "video_message", "animation"})

ChatRow = Mapping[str, Any]


def telegram_posts(row: ChatRow) -> Sequence[PostBody] | str:
    """Return the post in a Telegram message, or the reason why there is none."""
    if row.get("type") not in {None, "message"}:
        return "other"  # a service message: a member joined, a call
    path = row.get("photo")
    if path is None and str(row.get("mime_type") or "").startswith("image/"):
        path = row.get("file")
    if not isinstance(path, str) or not path:
        return "video" if row.get("media_type") in _FILMS else "text"
    if path.startswith(_LEFT_OUT):
        return "removed"
    chat = row["chat"]
    if row.get("media_type") == "sticker" and not _IMAGE.search(path):
        return "video"  # an animated sticker
    found = {
        "global_id": f"{chat.get('id', chat.get('name', 'chat'))}/{row.get('id')}-telegram",
        "url": path,
        "desc": telegram_text(row.get("text")),
        "author": row.get("from") or row.get("actor") or "",
        "created_time": _time(row.get("date_unixtime") or row.get("date")),
        "score": sum(_count(it) for it in _dicts(row.get("reactions"))),
        "source": "telegram",
        "channel": chat.get("name"),
        "author_id": row.get("from_id"),
        "forwarded_from": row.get("forwarded_from"),
        "reply_to": row.get("reply_to_message_id"),
    }
    if row.get("edited_unixtime") or row.get("edited"):
        found["edited"] = _time(row.get("edited_unixtime") or row.get("edited"))
    return [{name: value for name, value in found.items() if value not in (None, "")}]


def telegram_text(text: Any) -> str:
    """Return the text of a message, which is a string or a list of parts."""
    if isinstance(text, list):
        return "".join(
            it if isinstance(it, str) else str(it.get("text") or "") for it in text if isinstance(it, str | dict)
        )
    return text if isinstance(text, str) else ""


def discord_posts(row: ChatRow) -> Sequence[PostBody] | str:
    """Return a post for each attached or embedded image of a Discord message, or the reason why there is none."""
    files = _dicts(row.get("attachments"))
    images = [(number, str(it.get("url") or "")) for number, it in enumerate(files, 1) if _is_image(it)]
    attached = {url for _, url in images}
    embedded = dict.fromkeys(url for it in _dicts(row.get("embeds")) for url in _embedded(it) if url not in attached)
    images += enumerate(embedded, len(files) + 1)
    if not images:
        has_film = any(_VIDEO.search(str(it.get("fileName"))) for it in files)
        return "video" if has_film or any(it.get("video") for it in _dicts(row.get("embeds"))) else "text"
    chat, author = row["chat"], row.get("author")
    author = author if isinstance(author, dict) else {}
    found = {
        "desc": row.get("content") or "",
        "author": author.get("name") or author.get("nickname") or "",
        "created_time": _time(row.get("timestamp")),
        "score": sum(_count(it) for it in _dicts(row.get("reactions"))),
        "source": "discord",
        "channel": chat.get("channel.name"),
        "guild": chat.get("guild.name"),
        "author_id": author.get("id"),
    }
    if row.get("timestampEdited"):
        found["edited"] = _time(row["timestampEdited"])
    common = {name: value for name, value in found.items() if value not in (None, "")}
    alone = len(files) + len(embedded) == 1
    return [
        {
            "global_id": f"{row.get('id')}-discord" if alone else f"{row.get('id')}_{number}-discord",
            "url": url,
            **common,
            **({} if alone else {"post_id": f"{row.get('id')}-discord"}),
        }
        for number, url in images
    ]


def _embedded(embed: ChatRow) -> list[str]:
    """Return the images of an embed; its thumbnail only if it has nothing else (a link to an image, not to a page)."""
    found = _dicts(embed.get("images")) or _dicts([embed.get("image")])
    if not found and not any(embed.get(name) for name in ("title", "description", "video")):
        found = _dicts([embed.get("thumbnail")])
    return [url for it in found if isinstance(url := it.get("url"), str) and url]


def _is_image(file: ChatRow) -> bool:
    name = str(file.get("fileName") or "") or urlsplit(str(file.get("url") or "")).path
    return bool(file.get("url")) and _IMAGE.search(name) is not None


def _count(reaction: ChatRow) -> int:
    count = reaction.get("count")
    return count if isinstance(count, int) else 0


def _time(value: Any) -> str:
    time = time_or_none(value) if isinstance(value, str | int | float) else None
    return time.isoformat() if time else ""


def _dicts(value: Any) -> list[ChatRow]:
    return [it for it in value if isinstance(it, dict)] if isinstance(value, list) else []
