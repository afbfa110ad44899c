"""Dead letters, as metrics and the log tell of them: one line for each, and not more of these than can be read."""

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
_RATION: Final = LogRateLimiter(LINES_A_MINUTE)


def log_dead_letters(dead_letters: Iterable[DeadLetter], ration: LogRateLimiter = _RATION) -> None:
    """Count dead letters, and write a line for each that there is room for."""
    for letter in dead_letters:
        cause = cause_of(letter.reason).name
        DEAD_LETTERS.labels(letter.stage, cause).inc()
        REASONS.labels(letter.stage, _KINDS.of(letter.reason)).inc()
        if (untold := ration.take()) is not None:
            log.warning(BAD_RECORD, **_fields(letter), cause=cause, **({"untold": untold} if untold else {}))


def _fields(letter: DeadLetter) -> dict[str, str]:
    known = {"global_id": letter.global_id, "trace": trace_id(letter.trace)}
    where = {"step": letter.stage, "origin": letter.message.origin, "reason": letter.reason}
    return {name: value for name, value in {**known, **where}.items() if value}
