"""Which picture is a copy of one that came before: posted again, recompressed, scaled, with a watermark or a bar."""

from typing import Any, Final

import numpy as np

from models.fingerprint import BYTES, copied

_REMEMBERED: Final = 4096
"""Some 300 bytes each, in every snapshot."""


class Duplicates:
    """Fingerprints of the last pictures that were no copies."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        self._ids: list[str] = list(state["ids"]) if state else []
        self._prints = np.zeros((_REMEMBERED, BYTES), np.uint8)
        self._whole = np.ones(_REMEMBERED, np.bool_)
        self._next: int = state["next"] if state else 0
        """The place that is written next, which is that of the oldest once all are taken."""
        if state and self._ids:
            self._prints[: len(self._ids)] = state["prints"]
            # Before bars were looked for, all were whole.
            self._whole[: len(self._ids)] = state.get("whole", True)

    def original(self, global_id: str, fingerprint: bytes) -> str | None:
        """Of which post the picture is a copy; one that is none is remembered."""
        known = len(self._ids)
        found = copied(fingerprint, self._prints[:known], self._whole[:known])
        if found is not None:
            return self._ids[found]
        for place in range(0, len(fingerprint), BYTES):
            self._remember(global_id, fingerprint[place : place + BYTES], whole=place == 0)
        return None

    def _remember(self, global_id: str, seen: bytes, *, whole: bool) -> None:
        if len(self._ids) < _REMEMBERED:
            self._ids.append(global_id)
        else:
            self._ids[self._next] = global_id
        self._prints[self._next], self._whole[self._next] = np.frombuffer(seen, np.uint8), whole
        self._next = (self._next + 1) % _REMEMBERED

    def state(self) -> dict[str, Any]:
        """Plain values."""
        known = len(self._ids)
        return {
            "ids": list(self._ids),
            "prints": self._prints[:known].copy(),
            "whole": self._whole[:known].copy(),
            "next": self._next,
        }
