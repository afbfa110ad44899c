"""The last lines of a run: how much was processed, and what could not be used and why."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from core.causes import known_cause
from core.counts import RunCounts
from core.untrusted_text import one_line

USELESS: Final = "nothing that was read could be used: `memewax dead-letters list` says why"
_MOST_KINDS: Final = 50
"""Distinct kinds of reasons that are counted; bounded because reasons contain untrusted text."""
_OTHER: Final = "other reasons"
_LONGEST: Final = 80
_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Usage:
    """What was read, and how much of it could be used."""

    posts: int
    """Valid posts, without duplicates."""
    dead_letters: int
    images: int
    """Images that were fetched and decoded."""
    failed_images: int
    duplicates: int = 0
    reasons: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """Number of dead letters by (stage, kind)."""

    @classmethod
    def of(cls, counts: RunCounts) -> Self:
        """Extract the usage from the counts of a run."""
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
        """Check whether something was read and none of it could be used."""
        if not self.posts:
            return self.dead_letters > 0 and not self.duplicates
        return not self.images and self.failed_images >= self.posts

    def lines(self) -> list[str]:
        """Return the most common reasons, one a line, with advice."""
        ranked = sorted(self.reasons.items(), key=lambda it: (-it[1], it[0]))
        lines = [f"  {count:,} x {stage}: {kind}{advice_on(kind)}" for (stage, kind), count in ranked[:_SHOWN]]
        if len(ranked) > _SHOWN:
            lines.append(f"  and {sum(count for _, count in ranked[_SHOWN:]):,} for other reasons")
        return lines


@dataclass(frozen=True, slots=True)
class Ending:
    """How a flow ended."""

    lines: list[str]
    is_useless: bool = False
    """Whether something was read and none of it could be used."""


class Kinds:
    """Normalises reasons to a bounded number of kinds, so that a kind can be a metric label."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def of(self, reason: str) -> str:
        """Return the beginning of a reason, without what varies from post to post."""
        kind = one_line(re.split(r": |, found|; ", reason, maxsplit=1)[0][:_LONGEST]).strip() or _OTHER
        kind = kind if kind.startswith("HTTP") else re.sub(r"\b\d{2,}\b", "N", kind)
        if kind in self._seen or len(self._seen) < _MOST_KINDS:
            self._seen.add(kind)
            return kind
        return _OTHER


def plural(count: int, one: str, many: str | None = None) -> str:
    """Format a count with its noun: `1 post`, `2 posts`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def last_line(records: int, usage: Usage, seconds: float, rest: str = "") -> str:
    """Return the summary line of a run, with the reasons of dead letters below it."""
    done = f"{plural(records, 'record')}, {plural(usage.dead_letters, 'dead letter')} in {seconds:,.1f} s{rest}"
    return "\n".join([done, *(usage.lines() if usage.dead_letters else [])])


def run_ending(counts: RunCounts, seconds: float, recovery: Path | None, is_first: bool, drained: bool) -> Ending:
    """Return the last lines of a run over posts.

    Args:
        counts: Counts of the run.
        seconds: Duration of the run.
        recovery: The recovery folder; None if the run takes no snapshots.
        is_first: Whether this is the first run with that recovery folder.
        drained: Whether the run was asked to stop.
    """
    usage = Usage.of(counts)
    lines = []
    if counts.posts or counts.updated or counts.removals or counts.dead_letters or counts.skipped or drained:
        rest = f", {plural(counts.updated, 'record')} again" if counts.updated else ""
        if counts.removals:
            rest += f", {plural(counts.removals, 'delete or hidden account', 'deletes and hidden accounts')}"
        rest += _left_out(counts)
        rest += "; stopped: run the same command again to resume" if drained else ""
        lines.append(last_line(counts.joined + counts.partial, usage, seconds, rest))
    elif is_first:
        lines.append("nothing to read: the source is empty")
    else:
        lines.append(f"nothing new since the last run; delete {recovery} to start over")
    if counts.retry_waiting:
        lines.append(
            f"the images of {plural(counts.retry_waiting, 'post')} may become available: "
            "run the same command later to fetch them again"
        )
    return Ending(lines, usage.is_useless and not drained)


def ingest_ending(counts: RunCounts, seconds: float, recovery: Path | None, *_: bool) -> Ending:
    """Return the last line of a run that ingests posts."""
    left_out = _left_out(counts)
    if not counts.posts and not counts.dead_letters:
        return Ending([f"nothing new since the last run{left_out}; {recovery} remembers what was seen"])
    done = f"{plural(counts.posts, 'post')}, {plural(counts.dead_letters, 'dead letter')}"
    return Ending([f"{done} in {seconds:,.1f} s{left_out}"])


def _left_out(counts: RunCounts) -> str:
    """Format what was skipped because it was not a post, by reason."""
    skipped = ", ".join(f"{count:,} {reason}" for reason, count in counts.skipped.items())
    return f"; skipped: {skipped}" if skipped else ""


def answers_ending(counts: RunCounts, seconds: float, *_: object) -> Ending:
    """Return the last line of a run that answers queries."""
    return Ending([f"{answered(counts)} in {seconds:,.1f} s"])


def answered(counts: RunCounts) -> str:
    """Format the number of answers, and how many of them were errors."""
    errors = f", including {plural(counts.answer_errors, 'error')}" if counts.answer_errors else ""
    return plural(counts.answers, "answer") + errors


def advice_on(kind: str) -> str:
    """Return the advice for a kind of reason, in parentheses; empty if there is none."""
    cause = known_cause(kind)
    return f" ({cause.advice})" if cause else ""
