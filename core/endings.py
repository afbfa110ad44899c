"""What a run says when it ends: how much was done, and what could not be used for which reasons."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from core.causes import known_cause
from core.counts import RunCounts
from core.untrusted_text import one_line

USELESS: Final = "nothing of what was read could be used: `memewax dead-letters list` says why"
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
    images: int
    """That were fetched and decoded."""
    failed_images: int
    duplicates: int = 0
    reasons: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """How often by stage and kind."""

    @classmethod
    def of(cls, counts: RunCounts) -> Self:
        """What a run could use of what it read."""
        return cls(
            counts.posts,
            counts.dead_letters,
            counts.images,
            counts.failed_images,
            counts.duplicates,
            counts.reasons,
        )

    @property
    def is_useless(self) -> bool:
        """Whether something was read and nothing at all could be used."""
        if not self.posts:
            return self.dead_letters > 0 and not self.duplicates
        return not self.images and self.failed_images >= self.posts

    def lines(self) -> list[str]:
        """The commonest reasons, a line each, with what to do."""
        ranked = sorted(self.reasons.items(), key=lambda it: (-it[1], it[0]))
        told = [f"  {count:,} x {stage}: {kind}{advice_on(kind)}" for (stage, kind), count in ranked[:_SHOWN]]
        if len(ranked) > _SHOWN:
            told.append(f"  and {sum(count for _, count in ranked[_SHOWN:]):,} for other reasons")
        return told


@dataclass(frozen=True, slots=True)
class Ending:
    """How a flow ended."""

    lines: list[str]
    is_useless: bool = False
    """Whether something was read and nothing at all could be used."""


class Kinds:
    """Kinds of reasons, bounded, so that they can be the label of a metric."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def of(self, reason: str) -> str:
        """What a reason begins with, without what differs from post to post."""
        kind = one_line(re.split(r": |, found|; ", reason, maxsplit=1)[0][:_LONGEST]).strip() or _OTHER
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


def run_ending(counts: RunCounts, seconds: float, recovery: Path | None, is_first: bool, drained: bool) -> Ending:
    """What a run of posts says when it ends.

    Args:
        counts: What it counted.
        seconds: That it took.
        recovery: Its folder; None where it takes no snapshots.
        is_first: Whether nothing was done in that folder before.
        drained: Whether it was asked to stop.
    """
    usage = Usage.of(counts)
    told = []
    if counts.posts or counts.updated or counts.removals or counts.dead_letters or counts.skipped or drained:
        rest = f", {plural(counts.updated, 'record')} again" if counts.updated else ""
        if counts.removals:
            rest += f", {plural(counts.removals, 'delete or hidden account', 'deletes and hidden accounts')}"
        rest += _left_out(counts)
        rest += "; stopped, and the same command goes on" if drained else ""
        told.append(last_line(counts.joined + counts.partial, usage, seconds, rest))
    elif is_first:
        told.append("nothing to read: the source is empty")
    else:
        told.append(f"nothing new since the last run; delete {recovery} to begin anew")
    if counts.retry_waiting:
        told.append(
            f"of {plural(counts.retry_waiting, 'post')} the image may yet be there: "
            "run the same command later, and it is fetched again"
        )
    return Ending(told, usage.is_useless and not drained)


def ingest_ending(counts: RunCounts, seconds: float, recovery: Path | None, *_: bool) -> Ending:
    """What taking in posts says when it ends."""
    left_out = _left_out(counts)
    if not counts.posts and not counts.dead_letters:
        return Ending([f"nothing new since the last run{left_out}; {recovery} remembers what was seen"])
    done = f"{plural(counts.posts, 'post')}, {plural(counts.dead_letters, 'dead letter')}"
    return Ending([f"{done} in {seconds:,.1f} s{left_out}"])


def _left_out(counts: RunCounts) -> str:
    """What was read and is no post, by reason."""
    skipped = ", ".join(f"{count:,} {reason}" for reason, count in counts.skipped.items())
    return f"; skipped: {skipped}" if skipped else ""


def answers_ending(counts: RunCounts, seconds: float, *_: object) -> Ending:
    """What answering says when it ends."""
    return Ending([f"{answered(counts)} in {seconds:,.1f} s"])


def answered(counts: RunCounts) -> str:
    """How many answers there were, and how many of them were errors."""
    errors = f", {plural(counts.answer_errors, 'error')} among them" if counts.answer_errors else ""
    return plural(counts.answers, "answer") + errors


def advice_on(kind: str) -> str:
    """What to do where something is left out for a reason of this kind, in brackets; empty where nothing is known."""
    cause = known_cause(kind)
    return f" ({cause.advice})" if cause else ""
