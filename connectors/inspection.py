"""Dry run of a source: parse its first messages like a flow, without any effect."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

from connectors.row_file import format_name
from connectors.sources.mapped_place import MappedPlace
from connectors.sources.parse import parsed
from connectors.sources.source import Place, PlacedSource, Reader
from connectors.sources.split_messages import unpacked
from core.counts import own_counts
from core.records import DeadLetter, Post, Removal

_IDLE_SECONDS: Final = 0.02
_MOST_PLACES: Final = 20


@dataclass(frozen=True, slots=True)
class InspectedPlace:
    """A place of a source (file, folder of images or topic) and how it would be read."""

    name: str
    form: str
    rows: str
    """What kind of rows it has."""
    columns: dict[str, str]
    """Its columns, by field of a post or name of a custom column; empty if names do not matter."""
    own: dict[str, str]
    """Types of custom columns, which become columns of a store, by name."""


@dataclass(slots=True)
class Inspection:
    """Counts and examples from the first messages of a source."""

    places: list[InspectedPlace] = field(default_factory=list)
    more_places: int = 0
    read: int = 0
    """Messages read, whether posts or not."""
    is_whole: bool = False
    """Whether the whole source was read."""
    posts: int = 0
    removals: int = 0
    """Deletes of posts and accounts."""
    first: list[Post] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)
    """Dead letters by reason: messages that are not valid posts."""
    not_here: dict[str, int] = field(default_factory=dict)
    """Posts whose image should be on this machine but cannot be read, by reason."""
    skipped: dict[str, int] = field(default_factory=dict)
    """Skipped messages by reason."""


def inspect_source(
    source: PlacedSource,
    *,
    most: int,
    shown: int,
    seconds: float,
    why_not_here: Callable[[Post], str | None] = lambda _: None,
) -> Inspection:
    """Parse the beginning of a source; raises `WorldError` if it cannot be read or has no column for a post's image.

    Args:
        source: The source to read.
        most: Maximum number of messages, of all places together.
        shown: Number of posts to keep as examples.
        seconds: Time limit for an endless source.
        why_not_here: Returns why a post's image, which should be on this machine, cannot be read; None if it can.
    """
    places = source.places()
    for place in places:
        place.check()
    found = Inspection([_inspected(it) for it in places[:_MOST_PLACES]], max(0, len(places) - _MOST_PLACES))
    before = own_counts().skipped
    readers = [it.open(number, None, ()) for it in places for number in it.part_numbers(())]
    try:
        _read(readers, found, most, shown, time.monotonic() + seconds, why_not_here)
    finally:
        for reader in readers:
            reader.close()
    now = own_counts().skipped
    found.skipped = {reason: left for reason in now if (left := now[reason] - before.get(reason, 0))}
    return found


def _read(
    readers: Sequence[Reader],
    found: Inspection,
    most: int,
    shown: int,
    until: float,
    why_not_here: Callable[[Post], str | None],
) -> None:
    for turn in count():
        open_ones = [it for it in readers if not it.ended]
        found.is_whole = not open_ones
        if found.is_whole or found.read >= most or time.monotonic() > until:
            return
        unit = open_ones[turn % len(open_ones)].read()
        if unit is None:
            time.sleep(_IDLE_SECONDS / len(open_ones))
            continue
        for message in (part for it in unit.messages for part in unpacked(it)):
            found.read += 1
            one = parsed(message)
            if isinstance(one, DeadLetter):
                found.reasons[one.reason] = found.reasons.get(one.reason, 0) + 1
                continue
            if isinstance(one, Removal):
                found.removals += 1
                continue
            found.posts += 1
            if (why := why_not_here(one)) is not None:
                found.not_here[why] = found.not_here.get(why, 0) + 1
            if len(found.first) < shown:
                found.first.append(one)


def _inspected(place: Place) -> InspectedPlace:
    if not isinstance(place, MappedPlace):
        return InspectedPlace(place.name, "", "", {}, {})
    shape, path = place.shape, Path(place.name)
    form = format_name(path) if path.is_file() else "messages"
    return InspectedPlace(place.name, form, shape.name, shape.fields, shape.own)


def as_plain(post: Post) -> dict[str, Any]:
    """Return the fields of a post as a dict, without empty ones."""
    fields = {
        "global_id": post.global_id,
        "post_id": post.post_id,
        "url": post.url,
        "desc": post.description,
        "author": post.author,
        "created_time": post.created_time,
        "score": post.score,
        "source": post.source,
        **post.extra,
    }
    return {name: value for name, value in fields.items() if value not in ("", None)}
