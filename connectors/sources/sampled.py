"""Sampling: keep a share of a source's posts, by a hash of their images, so all posts of an image are kept or none.

A lower share is a subset of a higher one. Invalid messages are kept, so that they become dead letters.
"""

from dataclasses import replace
from hashlib import blake2b
from typing import Any, Final

from connectors.sources.load_shedding import LoadShedder
from connectors.sources.mapped_place import row_in
from connectors.sources.removal_form import is_removal
from connectors.sources.source import Position, Reader, ReaderAround, Source, Unit
from core.records import Message
from core.telemetry import SKIPPED

_ALL: Final = 2**64


class Sampled(Source):
    """A sample of `inner`, whose messages hold one post each."""

    def __init__(self, inner: Source, kept: LoadShedder) -> None:
        self._inner = inner
        self._kept = kept

    def parts(self) -> list[str]:
        """Return the partitions of the inner source."""
        return self._inner.parts()

    def open(self, part: str, resume: Position | None) -> Reader:
        """Read `part` from its start or from `resume`."""
        return _SampledReader(self._inner.open(part, resume), self._kept)


class _SampledReader(ReaderAround):
    def __init__(self, reader: Reader, kept: LoadShedder) -> None:
        super().__init__(reader)
        self._kept = kept

    def read(self) -> Unit | None:
        unit = self._inner.read()
        if unit is None or not unit.messages:
            return unit
        live = unit.live
        if live is not None and self._kept.is_too_old(live):
            kept = [it for it in unit.messages if place_of(it) is None]
            _count("too old", len(unit.messages) - len(kept))
            return replace(unit, messages=kept, live=live._replace(is_left_out=True))
        most, share = self._kept.most, self._kept.share
        placed = [(place_of(it), it) for it in unit.messages]
        asked = [(place, it) for place, it in placed if place is None or place < most]
        found = [it for place, it in asked if place is None or place < share]
        _count("left out by sample", len(placed) - len(asked))
        _count("left out by overload", len(asked) - len(found))
        return replace(unit, messages=found)


def _count(reason: str, messages: int) -> None:
    if messages:  # a count of 0 would appear in the final report
        SKIPPED.labels("sample", reason).inc(messages)


def place_of(message: Message) -> float | None:
    """Hash a post's image CID, or else its URL, to a number from 0 to 1; a share keeps all posts below it.

    Return None for messages that are always kept: removals and invalid posts.
    """
    body = row_in(message) or {}
    identity = _text(body.get("cid")) or _text(body.get("url"))
    if not identity or is_removal(body):
        return None
    digest = blake2b(identity.encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / _ALL


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
