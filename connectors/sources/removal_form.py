"""What a message says that is no post but takes posts back: deletes, and accounts that hide their posts or show them.

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
"""As tables of text say it."""
MOST_CHARACTERS: Final = 2048
"""Of a name; a longer one names nothing that was ever taken."""


def is_removal(body: Mapping[str, Any]) -> bool:
    """Whether a message takes something back, whether or not it says well what."""
    if _is_deleted(body):
        return True
    if "url" not in body and _odd_flag(body):
        return True
    if not isinstance(body.get("hidden"), bool) or "author" not in body:
        return False
    return not (body.get("url") or body.get("global_id") or body.get("post_id"))


def removal_of(body: Mapping[str, Any], message: Message) -> Removal:
    """What a message takes back: what it names most closely. Raises `BadRecordError` where it names nothing."""
    if not _is_deleted(body) and (odd := _odd_flag(body)):
        raise BadRecordError(f"{odd} must be true or false, not {str(body[odd])[:40]!r}")
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
    """A message that says what a removal says, whatever it was read from."""
    told: dict[str, Any] = {name: value for name in _NAMES if (value := getattr(removal, name))}
    told |= {"deleted": True} if removal.hidden is None else {"hidden": removal.hidden}
    if removal.kept:
        told["except"] = list(removal.kept)
    return told if removal.time is None else {**told, "time": removal.time.isoformat()}


def delete_of_post(post_id: str, time: str, kept: Sequence[str] = ()) -> dict[str, Any]:
    """A message that deletes a post with all of its images, but for those that are `kept`."""
    return {"post_id": post_id, "deleted": True, "time": time, **({"except": list(kept)} if kept else {})}


def delete_of_account(author: str, source: str, time: str) -> dict[str, Any]:
    """A message that deletes all posts of an account."""
    return {"author": author, "source": source, "deleted": True, "time": time}


def hiding_of_account(author: str, source: str, time: str, *, hidden: bool) -> dict[str, Any]:
    """A message that hides all posts of an account, or shows them again."""
    return {"author": author, "source": source, "hidden": hidden, "time": time}


def tombstone(key: bytes, milliseconds: int | None) -> bytes:
    """A message that deletes what has a key of Kafka's: the post, or the image, of that name."""
    told = {"post_id": key.decode(errors="replace"), "deleted": True, "tombstone": True}
    if milliseconds is not None:
        told["time"] = datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()
    return orjson.dumps(told)


def _is_deleted(body: Mapping[str, Any]) -> bool:
    deleted = body.get("deleted")  # each row of each source is asked
    return deleted is True or deleted in ("true", "True")


def _odd_flag(body: Mapping[str, Any]) -> str:
    """Which of the flags is neither true nor false; empty where none is."""
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
