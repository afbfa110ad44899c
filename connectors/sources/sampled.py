"""A share of the posts of a source, by what their pictures are: of one picture all posts are kept, or none.

A lower share is a part of a higher one. What is no post is kept, so that it becomes a dead letter.
"""

from dataclasses import replace
from hashlib import blake2b
from typing import Any, Final

from connectors.sources.mapped_place import row_in
from connectors.sources.removal_form import is_removal
from connectors.sources.source import Position, Reader, ReaderAround, Source, Unit
from core.records import Message
from core.telemetry import SKIPPED

_ALL: Final = 2**64


class Sampled(Source):
    """A share of `inner`, whose messages hold one post each."""

    def __init__(self, inner: Source, share: float) -> None:
        self._inner = inner
        self._share = share

    def parts(self) -> list[str]:
        """Those of the inner source."""
        return self._inner.parts()

    def open(self, part: str, resume: Position | None) -> Reader:
        """Read `part` from its start, or from where `resume` says."""
        return _SampledReader(self._inner.open(part, resume), self._share)


class _SampledReader(ReaderAround):
    def __init__(self, reader: Reader, share: float) -> None:
        super().__init__(reader)
        self._share = share

    def read(self) -> Unit | None:
        unit = self._inner.read()
        if unit is None or not unit.messages:
            return unit
        kept = [message for message in unit.messages if is_kept(message, self._share)]
        SKIPPED.labels("sample", "left out by sample").inc(len(unit.messages) - len(kept))
        return replace(unit, messages=kept)


def is_kept(message: Message, share: float) -> bool:
    """Whether the post in a message belongs to a share, by its picture's CID, or else its URL."""
    body = row_in(message) or {}
    identity = _text(body.get("cid")) or _text(body.get("url"))
    if not identity or is_removal(body):
        return True
    digest = blake2b(identity.encode(errors="replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * _ALL


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
