"""Messages that remove posts: deletes, and accounts whose posts are hidden or shown again.

::

    {"global_id" | "post_id" | "url": "…", "deleted": true, "time": "…"}
    {"author": "…", "source": "…", "deleted": true, "time": "…"}
    {"author": "…", "source": "…", "hidden": true | false, "time": "…"}
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from core.errors import BadRecordError
from core.records import Message, Removal
from core.times import parse_time

_MOST_KEPT: Final = 1000
_NAMES: Final = ("global_id", "post_id", "url", "author", "source")
_WORDS: Final = ("true", "True", "false", "False")
"""Booleans in tables of text."""
MOST_CHARACTERS: Final = 2048
"""Maximum length of a name; no stored post has a longer one."""


def is_removal(body: Mapping[str, Any]) -> bool:
    """Check whether a message is a removal, valid or not."""
    if _is_deleted(body):
        return True
    if "url" not in body and _odd_flag(body):
        return True
    if not isinstance(body.get("hidden"), bool) or "author" not in body:
        return False
    return not (body.get("url") or body.get("global_id") or body.get("post_id"))


def removal_of(body: Mapping[str, Any], message: Message) -> Removal:
    """Parse a removal; the most specific name in it applies. Raises `BadRecordError` if it names nothing."""
    if not _is_deleted(body) and (odd := _odd_flag(body)):
        raise BadRecordError(f"{odd} must be true or false, found {str(body[odd])[:40]!r}")
    names = {name: _name(body, name) for name in _NAMES}
    is_hidden = body.get("hidden") if isinstance(body.get("hidden"), bool) and not body.get("deleted") else None
    time, kept = _time(body.get("time")), _kept(body.get("except"))
    if "tombstone" in body:
        return Removal(message, global_id=names["post_id"], post_id=names["post_id"], time=time)
    if is_hidden is None:
        if names["global_id"]:
            return Removal(message, global_id=names["global_id"], time=time)
        if names["post_id"]:
            return Removal(message, post_id=names["post_id"], kept=kept, time=time)
        if names["url"]:
            return Removal(message, url=names["url"], time=time)
    if names["author"] and names["source"]:
        return Removal(message, author=names["author"], source=names["source"], hidden=is_hidden, time=time)
    raise BadRecordError(
        "a delete names nothing: expected global_id, post_id or url, or author and source of an account"
    )


def body_of_removal(removal: Removal) -> dict[str, Any]:
    """Return the message body of a removal, regardless of its original message."""
    body: dict[str, Any] = {name: value for name in _NAMES if (value := getattr(removal, name))}
    body |= {"deleted": True} if removal.hidden is None else {"hidden": removal.hidden}
    if removal.kept:
        body["except"] = list(removal.kept)
    return body if removal.time is None else {**body, "time": removal.time.isoformat()}


def delete_of_post(post_id: str, time: str, kept: Sequence[str] = ()) -> dict[str, Any]:
    """Return a message body that deletes a post with all its images except those in `kept`."""
    return {"post_id": post_id, "deleted": True, "time": time, **({"except": list(kept)} if kept else {})}


def delete_of_account(author: str, source: str, time: str) -> dict[str, Any]:
    """Return a message body that deletes all posts of an account."""
    return {"author": author, "source": source, "deleted": True, "time": time}


def hiding_of_account(author: str, source: str, time: str, *, hidden: bool) -> dict[str, Any]:
    """Return a message body that hides all posts of an account, or shows them again."""
    return {"author": author, "source": source, "hidden": hidden, "time": time}


def tombstone(key: bytes, milliseconds: int | None) -> bytes:
    """Return the message of a Kafka tombstone: it deletes the post or image whose id is the key.

    Args:
        key: Key of the tombstone.
        milliseconds: Its timestamp, in milliseconds since 1970, if any.
    """
    body = {"post_id": key.decode(errors="replace"), "deleted": True, "tombstone": True}
    if milliseconds is not None:
        body["time"] = datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()
    return orjson.dumps(body)


def _is_deleted(body: Mapping[str, Any]) -> bool:
    deleted = body.get("deleted")  # called for each row of each source, so must be fast
    return deleted is True or deleted in ("true", "True")


def _odd_flag(body: Mapping[str, Any]) -> str:
    """Return the name of a flag that is neither true nor false; "" if there is none."""
    for name in ("deleted", "hidden"):
        value = body.get(name)
        if value is not None and not isinstance(value, bool) and value not in _WORDS:
            return name
    return ""


def _name(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MOST_CHARACTERS:
        raise BadRecordError(f"{name} of a delete must be a string of at most {MOST_CHARACTERS} characters")
    return value.strip()


def _time(value: Any) -> datetime | None:
    if value is None or value == "":
        return None
    try:
        return parse_time(value)
    except (ValueError, TypeError, AttributeError):
        raise BadRecordError(f"time is no time: {str(value)[:40]!r}") from None


def _kept(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > _MOST_KEPT or not all(isinstance(it, str) for it in value):
        raise BadRecordError(f"except of a delete must be a list of at most {_MOST_KEPT} ids")
    return tuple(value)
