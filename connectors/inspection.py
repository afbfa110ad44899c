"""How a source would be read: its first messages, looked at as a flow would, and nothing else done."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

from connectors.row_file import form_name
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
    """A file, a folder of images, a topic."""

    name: str
    form: str
    rows: str
    """What its rows are."""
    columns: dict[str, str]
    """Its fields, by those of a post and of custom columns; empty where names do not matter."""
    own: dict[str, str]
    """Types of custom columns, which a store has as columns, by name."""


@dataclass(slots=True)
class Inspection:
    """What the first messages are."""

    places: list[InspectedPlace] = field(default_factory=list)
    more_places: int = 0
    read: int = 0
    """Posts and what is none, of the beginning alone."""
    is_whole: bool = False
    """Whether that is all there is."""
    posts: int = 0
    removals: int = 0
    """What takes posts back."""
    first: list[Post] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)
    """Why messages are no posts: they become dead letters."""
    not_here: dict[str, int] = field(default_factory=dict)
    """Why images that should lie on this machine cannot be read."""
    skipped: dict[str, int] = field(default_factory=dict)
    """What is left out, by reason."""


def inspect_source(
    source: PlacedSource,
    *,
    most: int,
    shown: int,
    seconds: float,
    why_not_here: Callable[[Post], str | None] = lambda _: None,
) -> Inspection:
    """Look at the beginning of a source; raises `WorldError` as reading it does, and where no row can become a post.

    Args:
        source: What is looked at.
        most: Messages, at most, of all places together.
        shown: Posts that are kept.
        seconds: To wait for messages of a source that has no end.
        why_not_here: Says why the image of a post is not on this machine, where it should be.
    """
    places = source.places()
    for place in places:
        place.check()
    found = Inspection([_told(it) for it in places[:_MOST_PLACES]], max(0, len(places) - _MOST_PLACES))
    before = own_counts().skipped
    readers = [it.open(number, None, ()) for it in places for number in it.numbers(())]
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


def _told(place: Place) -> InspectedPlace:
    if not isinstance(place, MappedPlace):
        return InspectedPlace(place.name, "", "", {}, {})
    shape, path = place.shape, Path(place.name)
    form = form_name(path) if path.is_file() else "messages"
    return InspectedPlace(place.name, form, shape.name, shape.fields, shape.own)


def as_plain(post: Post) -> dict[str, Any]:
    """What a post says, without what is empty."""
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
