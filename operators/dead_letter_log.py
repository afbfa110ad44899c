"""Metrics and log lines of dead letters: one line for each, up to a rate limit."""

from collections.abc import Iterable
from typing import Final

from core.causes import cause_of
from core.endings import Kinds
from core.log_lines import LogRateLimiter
from core.records import DeadLetter
from core.telemetry import BAD_RECORD, DEAD_LETTERS, REASONS, log
from core.traces import trace_id

LINES_A_MINUTE: Final = 60
_KINDS: Final = Kinds()
_LIMITER: Final = LogRateLimiter(LINES_A_MINUTE)


def log_dead_letters(dead_letters: Iterable[DeadLetter], limiter: LogRateLimiter = _LIMITER) -> None:
    """Count dead letters, and log a line for each within the rate limit."""
    for dead_letter in dead_letters:
        cause = cause_of(dead_letter.reason).name
        DEAD_LETTERS.labels(dead_letter.stage, cause).inc()
        REASONS.labels(dead_letter.stage, _KINDS.of(dead_letter.reason)).inc()
        if (untold := limiter.take()) is not None:
            log.warning(BAD_RECORD, **_fields(dead_letter), cause=cause, **({"untold": untold} if untold else {}))


def _fields(dead_letter: DeadLetter) -> dict[str, str]:
    known = {"global_id": dead_letter.global_id, "trace": trace_id(dead_letter.trace)}
    where = {"step": dead_letter.stage, "origin": dead_letter.message.origin, "reason": dead_letter.reason}
    return {name: value for name, value in {**known, **where}.items() if value}
