"""What any flow deletes in a store that several may write: none of them writes it again, whoever read the delete.

Who deletes says so before it does; who writes looks afterwards whether what it wrote was deleted meanwhile. So of the
two the one that comes later sees the other.
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
"""Where a delete names no time, since not every store knows an infinite number."""


class SharedRemoval(NamedTuple):
    """A name that was deleted, as stores keep it."""

    name: int
    """Its hash, of 64 bits."""
    said: float
    """Time of the delete, in seconds since 1970; 0: whatever comes is meant."""


class SharedRemovals(ABC):
    """What one writer of posts tells the others, and what they told; the last 65,536 names.

    Args:
        store: What is the same for all who write it.
        memory_days: For so long a delete is remembered.
    """

    def __init__(self, store: str, memory_days: float = math.inf) -> None:
        key = blake2b(store.encode(), digest_size=16).digest()
        self._removed = Removed(days=memory_days, key=key)

    @abstractmethod
    def _write(self, told: Sequence[SharedRemoval]) -> None:
        """Tell the others; raises `WorldError`."""

    @abstractmethod
    def _news(self) -> Iterable[tuple[SharedRemoval, float]]:
        """What was told since the last time, at first all of it, the oldest first, and when; raises `WorldError`."""

    def publish(self, removals: Iterable[Removal]) -> None:
        """Say what is about to be deleted, to who writes now or later; raises `WorldError`."""
        told = {name: said for it in removals for name, said in self._removed.note(it)}
        if told:
            self._write([SharedRemoval(it, _FOR_GOOD if math.isinf(said) else said) for it, said in told.items()])

    def look(self) -> bool:
        """Take in what others said; whether they said anything. Raises `WorldError`."""
        news = list(self._news())
        for it, read in news:
            self._removed.take(it.name, it.said if it.said != _FOR_GOOD else math.inf, read)
        return bool(news)

    def gone(self, rows: Iterable[Row]) -> list[Removal]:
        """Deletes of those rows that are of deleted posts, each by its id."""
        found = []
        for row in rows:
            if (said := self._said_of(row)) is not None:
                time = None if math.isinf(said) else datetime.fromtimestamp(said, UTC)
                found.append(Removal(_NO_MESSAGE, row["global_id"], time=time))
        return found

    def _said_of(self, row: Row) -> float | None:
        account = account_of(row["author"], row["source"])
        return self._removed.removed_at(
            row["global_id"], row["post_id"], account, lambda: changed(row, row["extra"]), row["url"]
        )
