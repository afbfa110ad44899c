"""Tombstones shared by the writers of a store, so that no flow writes a post again that another flow deleted.

A flow publishes a delete before it applies it. A flow that writes rows checks afterwards whether they were deleted
meanwhile. So whichever of the two acts later sees the other.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final, NamedTuple

from connectors.sinks.sink import Row
from connectors.store.removed_posts import changed
from core.records import Message, Removal, account_of
from core.removals import Removed

_NO_MESSAGE: Final = Message(b"", "")
_FOR_GOOD: Final = 0.0
"""Stands for an infinite time, which not every store can hold: the delete names no time."""


class SharedRemoval(NamedTuple):
    """A tombstone in its stored form."""

    name: int
    """64-bit hash of the deleted id, URL or account."""
    said: float
    """Unix time of the delete in seconds: posts edited later are kept; 0 deletes posts of any time."""


class SharedRemovals(ABC):
    """The last 65,536 tombstones of all writers of a store, as known to one of them.

    Args:
        store: Name of the store, the same for all its writers: it keys the hashes.
        memory_days: Days for which deletes are remembered.
    """

    def __init__(self, store: str, memory_days: float = math.inf) -> None:
        key = blake2b(store.encode(), digest_size=16).digest()
        self._removed = Removed(days=memory_days, key=key)

    @abstractmethod
    def _write(self, removals: Sequence[SharedRemoval]) -> None:
        """Write tombstones for the other writers; raises `WorldError`."""

    @abstractmethod
    def _news(self) -> Iterable[tuple[SharedRemoval, float]]:
        """Return tombstones written since the last call, the oldest first, each with the Unix time of its write.

        The first call returns all of them. Raises `WorldError`.
        """

    def publish(self, removals: Iterable[Removal]) -> None:
        """Publish removals to all writers, present and future, before they are applied; raises `WorldError`."""
        times = {name: time for it in removals for name, time in self._removed.note(it)}
        if times:
            self._write([SharedRemoval(it, _FOR_GOOD if math.isinf(time) else time) for it, time in times.items()])

    def refresh(self) -> bool:
        """Read the tombstones of other writers; return whether there are new ones. Raises `WorldError`."""
        news = list(self._news())
        for it, written in news:
            self._removed.take(it.name, it.said if it.said != _FOR_GOOD else math.inf, written)
        return bool(news)

    def gone(self, rows: Iterable[Row]) -> list[Removal]:
        """Return a removal by id for each row that belongs to a deleted post."""
        found = []
        for row in rows:
            if (removed := self._removed_at(row)) is not None:
                time = None if math.isinf(removed) else datetime.fromtimestamp(removed, UTC)
                found.append(Removal(_NO_MESSAGE, row["global_id"], time=time))
        return found

    def _removed_at(self, row: Row) -> float | None:
        account = account_of(row["author"], row["source"])
        return self._removed.removed_at(
            row["global_id"], row["post_id"], account, lambda: changed(row, row["extra"]), row["url"]
        )
