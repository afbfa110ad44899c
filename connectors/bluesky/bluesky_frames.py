"""Parse frames of Jetstream: posts with images, deletions, and changes of accounts.

A frame is JSON: `{"did", "time_us", "kind": "commit|identity|account", "commit": {…}}`. `time_us` is the time at which
the server saw it, in microseconds since 1970. The author's own time is kept but not trusted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import orjson

from connectors.services.listing import PostBody
from connectors.sources.removal_form import delete_of_account, delete_of_post, hiding_of_account

COLLECTION: Final = "app.bsky.feed.post"
_EMBEDS: Final = "app.bsky.embed."
_SENSITIVE: Final = frozenset({"porn", "sexual", "nudity", "graphic-media", "gore", "nsfl"})
_GONE: Final = frozenset({"deleted", "takendown"})
_HIDDEN: Final = frozenset({"deactivated", "suspended"})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

FrameReason = Literal["text", "video", "link", "filtered", "garbage"]
"""Why a frame yields no post."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Filters of posts; an empty one accepts all."""

    langs: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    """In lower case, without #."""
    dids: frozenset[str] = frozenset()
    without_labels: frozenset[str] = frozenset()

    def want(self, record: Mapping[str, Any]) -> bool:
        """Check whether a post passes the filters on languages, tags and labels."""
        if self.langs and self.langs.isdisjoint(_primary(_texts(record.get("langs")))):
            return False
        if self.tags and self.tags.isdisjoint(tag.lower() for tag in tags_of(record)):
            return False
        return self.without_labels.isdisjoint(labels_of(record))


@dataclass(frozen=True, slots=True)
class Frame:
    """A parsed frame."""

    time_us: int
    key: str
    """Identifies duplicates, also from other servers; empty if the frame needs no deduplication."""
    posts: Sequence[PostBody] = ()
    removals: Sequence[PostBody] = ()
    """Removals of posts, in the form of `connectors.sources.removal_form`."""
    reason: FrameReason | None = None
    """Why there are no posts; None also for frames that never contain any."""
    deleted: str = ""
    """Key of the deleted post."""
    post: str = ""
    """Key of the post that the frame is about."""
    is_edit: bool = False
    """Whether it changes an existing post."""
    revision: str = ""
    """Revision of the author's repository, the same on all servers; later writes have greater revisions."""


class BadFrameError(ValueError):
    """The message is not a valid frame of Jetstream."""


def read_frame(data: str | bytes, filters: Filters, cdn: str) -> Frame:
    """Parse a frame; raises `BadFrameError` if it is invalid.

    Args:
        data: The message.
        filters: Filters of posts.
        cdn: URL of the image CDN, without a trailing slash.
    """
    try:
        frame = orjson.loads(data)
        time_us, did, kind = int(frame["time_us"]), str(frame["did"]), frame["kind"]
        _EPOCH + timedelta(microseconds=time_us)
        if kind == "commit":
            return _commit(did, time_us, frame["commit"], filters, cdn)
        if kind == "account":
            return _account(did, time_us, frame["account"], filters)
        return Frame(time_us, "")
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BadFrameError(f"{type(error).__name__}: {error}") from None


def tags_of(record: Mapping[str, Any]) -> list[str]:
    """Return the tags of a post, both in its `tags` and in its text."""
    found = _texts(record.get("tags"))
    for facet in _dicts(record.get("facets")):
        found += [it["tag"] for it in _dicts(facet.get("features")) if isinstance(it.get("tag"), str)]
    return list(dict.fromkeys(tag.removeprefix("#") for tag in found))


def labels_of(record: Mapping[str, Any]) -> list[str]:
    """Return the labels that the author gave to a post."""
    labels = record.get("labels")
    values = _dicts(labels.get("values")) if isinstance(labels, dict) else []
    return [it["val"] for it in values if isinstance(it.get("val"), str)]


def _commit(did: str, time_us: int, commit: Mapping[str, Any], filters: Filters, cdn: str) -> Frame:
    if commit["collection"] != COLLECTION or (filters.dids and did not in filters.dids):
        return Frame(time_us, "")
    operation, rkey, revision = commit["operation"], commit["rkey"], commit["rev"]
    if not isinstance(rkey, str) or not isinstance(revision, str):
        raise TypeError("rkey and rev must be strings")
    post = f"{did}/{rkey}"
    key = f"{post}/{operation}/{revision}"  # not the record's hash: an edit may restore an earlier version
    name, seen = f"{post}-bluesky", _seen(time_us)
    if operation == "delete":
        return Frame(time_us, key, removals=[delete_of_post(name, seen)], deleted=post, post=post, revision=revision)
    record = commit["record"]
    images = _images(record.get("embed")) if filters.want(record) else []
    if not images and operation == "update":  # its earlier version may have been stored
        return Frame(time_us, key, removals=[delete_of_post(name, seen)], post=post, is_edit=True, revision=revision)
    if not images:
        reason = _without_images(record.get("embed")) if filters.want(record) else "filtered"
        return Frame(time_us, "", reason=reason, post=post)
    common = _common(did, rkey, time_us, record)
    if operation == "update":
        common["edited"] = common["created_time"]
    alone = len(images) == 1
    posts = [
        {
            "global_id": f"{post}-bluesky" if alone else f"{post}_{number}-bluesky",
            "url": f"{cdn}/img/feed_fullsize/plain/{did}/{cid}@jpeg",
            "desc": "\n".join(filter(None, (str(record.get("text") or ""), alt))),
            **common,
            "cid": cid,
            **({"alt": alt} if alt else {}),
        }
        for number, (cid, alt) in enumerate(images, 1)
        if cid
    ]
    removals = [delete_of_post(name, seen, [it["global_id"] for it in posts])] if operation == "update" else []
    return Frame(time_us, key, posts, removals, post=post, is_edit=operation == "update", revision=revision)


def _seen(time_us: int) -> str:
    """Format `time_us` of a frame as ISO 8601."""
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat()


def _common(did: str, rkey: str, time_us: int, record: Mapping[str, Any]) -> dict[str, Any]:
    seen = _seen(time_us)
    labels = labels_of(record)
    reply = record.get("reply")
    parent = reply.get("parent") if isinstance(reply, dict) else None
    found = {
        "author": did,
        "created_time": seen,
        "ingestion_time": seen,
        "source": "bluesky",
        "post_id": f"{did}/{rkey}-bluesky",
        "permalink": f"https://bsky.app/profile/{did}/post/{rkey}",
        "nsfw": not _SENSITIVE.isdisjoint(labels),
        "said_time": record.get("createdAt"),
        "langs": _texts(record.get("langs")),
        "tags": tags_of(record),
        "labels": labels,
        "reply_to": parent.get("uri") if isinstance(parent, dict) else None,
        "quoted": _quoted(record.get("embed")),
    }
    return {name: value for name, value in found.items() if value not in (None, [])}


def _account(did: str, time_us: int, account: Mapping[str, Any], filters: Filters) -> Frame:
    if filters.dids and did not in filters.dids:
        return Frame(time_us, "")
    status, is_active = account.get("status"), account["active"]
    key = f"{did}/account/{status or 'active'}/{account.get('time')}"
    if is_active:
        removal = hiding_of_account(did, "bluesky", _seen(time_us), hidden=False)
    elif status in _GONE:
        removal = delete_of_account(did, "bluesky", _seen(time_us))
    elif status in _HIDDEN:
        removal = hiding_of_account(did, "bluesky", _seen(time_us), hidden=True)
    else:  # for example a desynchronised server
        return Frame(time_us, key)
    return Frame(time_us, key, removals=[removal])


def _images(embed: Any) -> list[tuple[str, str]]:
    """Return the CID ("" if missing) and alt text of each image."""
    if not isinstance(embed, dict):
        return []
    kind = str(embed.get("$type", "")).removeprefix(_EMBEDS)
    if kind == "recordWithMedia":
        return _images(embed.get("media"))
    if kind not in {"images", "gallery"}:
        return []
    items = _dicts(embed.get("images") or embed.get("items"))
    return [(_cid(it.get("image")), str(it.get("alt") or "")) for it in items if "video" not in it]


def _cid(blob: Any) -> str:
    """Return the hash of the uploaded bytes; blobs of the network's first months have it in another field."""
    if not isinstance(blob, dict):
        return ""
    ref = blob.get("ref")
    cid = ref.get("$link") if isinstance(ref, dict) else blob.get("cid")
    return cid if isinstance(cid, str) and cid.isalnum() else ""


def _without_images(embed: Any) -> FrameReason:
    kind = str(embed.get("$type", "")) if isinstance(embed, dict) else ""
    media = embed.get("media") if isinstance(embed, dict) else None
    if kind.endswith("recordWithMedia") and isinstance(media, dict):
        kind = str(media.get("$type", ""))
    return "video" if kind.endswith(".video") else "link" if kind.endswith(".external") else "text"


def _quoted(embed: Any) -> str | None:
    """Return the URI of the quoted post."""
    record = embed.get("record") if isinstance(embed, dict) else None
    record = record.get("record", record) if isinstance(record, dict) else None
    return record.get("uri") if isinstance(record, dict) else None


def _primary(langs: Sequence[str]) -> set[str]:
    """Return the languages in lower case, each with and without its region."""
    return {name for lang in langs for name in (lang.lower(), lang.lower().partition("-")[0])}


def _texts(value: Any) -> list[str]:
    return [it for it in value if isinstance(it, str)] if isinstance(value, list) else []


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [it for it in value if isinstance(it, dict)] if isinstance(value, list) else []
