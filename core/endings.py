"""What a run says when it ends: how much was done, and what could not be used for which reasons."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from core.causes import known_cause

_MOST_KINDS: Final = 50
"""Kinds of reasons that are told apart; strangers write some of their words."""
_OTHER: Final = "other reasons"
_LONGEST: Final = 80
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Usage:
    """What came in, and what came of it."""

    posts: int
    """Valid ones, each once."""
    dead_letters: int
    pictures: int
    """That were fetched and decoded."""
    failed_pictures: int
    duplicates: int = 0
    reasons: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """How often by stage and kind."""

    @property
    def is_useless(self) -> bool:
        """Whether something was read and nothing at all could be used."""
        if not self.posts:
            return self.dead_letters > 0 and not self.duplicates
        return not self.pictures and self.failed_pictures >= self.posts

    def lines(self) -> list[str]:
        """The commonest reasons, a line each, with what to do."""
        ranked = sorted(self.reasons.items(), key=lambda it: (-it[1], it[0]))
        told = [f"  {count:,} x {stage}: {kind}{_advice(kind)}" for (stage, kind), count in ranked[:_SHOWN]]
        if len(ranked) > _SHOWN:
            told.append(f"  and {sum(count for _, count in ranked[_SHOWN:]):,} for other reasons")
        return told


class Kinds:
    """Kinds of reasons, bounded, so that they can be the label of a metric."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def of(self, reason: str) -> str:
        """What a reason begins with, without what differs from post to post."""
        kind = re.split(r": |, found|; ", reason, maxsplit=1)[0][:_LONGEST].strip() or _OTHER
        kind = kind if kind.startswith("HTTP") else re.sub(r"\b\d{2,}\b", "N", kind)
        if kind in self._seen or len(self._seen) < _MOST_KINDS:
            self._seen.add(kind)
            return kind
        return _OTHER


def plural(count: int, one: str, many: str | None = None) -> str:
    """A number and its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def last_line(records: int, usage: Usage, seconds: float, rest: str = "") -> str:
    """What a run says of itself."""
    done = f"{plural(records, 'record')}, {plural(usage.dead_letters, 'dead letter')} in {seconds:,.1f} s{rest}"
    return "\n".join([done, *(usage.lines() if usage.dead_letters else [])])


def _advice(kind: str) -> str:
    cause = known_cause(kind)
    return f" ({cause.advice})" if cause else ""
