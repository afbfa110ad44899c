"""Replay dead letters: add requests of a few dead letters each to a control log."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from connectors.control.control_log import FOLDER, ControlLog
from connectors.control.request_kinds import REPLAY
from connectors.stored_dead_letters import DeadLetterMarks, StoredDeadLetter, body_of

_AT_ONCE: Final = 8
"""Maximum number of dead letters in a request, since the flow waits while their images are fetched."""
_MOST_BYTES: Final = 512 * 1024


def ask_replay(state: Path, dead_letters: Sequence[StoredDeadLetter], marks: DeadLetterMarks) -> int:
    """Request a replay of dead letters from the flow that writes to `state`, and mark them as replayed.

    Returns the number of requests. Raises `WorldError` if the log cannot be written.
    """
    log = ControlLog(state / FOLDER)
    parts = _parts(dead_letters)
    for part in parts:
        log.add(REPLAY.name, {"letters": [body_of(it) for it in part]})
        marks.add(part, "replayed")
    return len(parts)


def _parts(dead_letters: Sequence[StoredDeadLetter]) -> list[list[StoredDeadLetter]]:
    """Split dead letters into batches that fit into one request each."""
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
