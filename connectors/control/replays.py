"""Dead letters asked to be read once more: requests of a few letters each, in a control log."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from connectors.control.control_log import FOLDER, ControlLog
from connectors.control.request_kinds import REPLAY
from connectors.stored_dead_letters import DeadLetterMarks, StoredDeadLetter, body_of

_AT_ONCE: Final = 8
"""Letters in a request: their images are fetched while the flow waits."""
_MOST_BYTES: Final = 512 * 1024


def ask_replay(state: Path, dead_letters: Sequence[StoredDeadLetter], marks: DeadLetterMarks) -> int:
    """Ask the flow that writes to `state` to read letters once more, and mark these; gives the number of requests.

    Raises `WorldError` where the log cannot be written.
    """
    log = ControlLog(state / FOLDER)
    parts = _parts(dead_letters)
    for part in parts:
        log.add(REPLAY.name, {"letters": [body_of(it) for it in part]})
        marks.add(part, "replayed")
    return len(parts)


def _parts(dead_letters: Sequence[StoredDeadLetter]) -> list[list[StoredDeadLetter]]:
    """Few enough, and small enough, for a request each."""
    parts: list[list[StoredDeadLetter]] = []
    size = 0
    for it in dead_letters:
        own = 2 * len(it.message.value) + 1024
        if not parts or len(parts[-1]) >= _AT_ONCE or size + own > _MOST_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(it)
        size += own
    return parts
