"""Which picture is a copy of one that came before: posted again, recompressed, scaled, with a watermark."""

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
        self._next: int = state["next"] if state else 0
        """The place that is written next, which is that of the oldest once all are taken."""
        if state and self._ids:
            self._prints[: len(self._ids)] = state["prints"]

    def original(self, global_id: str, fingerprint: bytes) -> str | None:
        """Of which post the picture is a copy; one that is none is remembered."""
        found = copied(fingerprint, self._prints[: len(self._ids)])
        if found is not None:
            return self._ids[found]
        if len(self._ids) < _REMEMBERED:
            self._ids.append(global_id)
        else:
            self._ids[self._next] = global_id
        self._prints[self._next] = np.frombuffer(fingerprint, np.uint8)
        self._next = (self._next + 1) % _REMEMBERED
        return None

    def state(self) -> dict[str, Any]:
        """Plain values."""
        return {"ids": list(self._ids), "prints": self._prints[: len(self._ids)].copy(), "next": self._next}
