"""Retries with exponential back-off of images that could not be fetched, until one succeeds or the tries are used up.

Each partition of a source keeps its retries beside its position, in the same snapshot. So a crash at any moment neither
loses a retry nor repeats a completed one.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from connectors.fetching.fetch import Fetching
from connectors.sources.parse import parsed
from core.records import Arrival, Failure, Message, Post, Removal
from core.snapshot_values import from_builtins, to_builtins
from core.telemetry import RETRIES, RETRY_WAITING

MOST_POSTS: Final = 500
"""Maximum number of waiting posts per partition; further failures are dead letters without retries."""
MOST_BYTES: Final = 2**20
"""Maximum size of their messages."""
_AT_ONCE: Final = 8
_FIRST_SECONDS: Final = 2.0
_LONGEST_SECONDS: Final = 3600.0


@dataclass(slots=True)
class _Waiting:
    """A post whose image will be fetched again."""

    message: Message
    tries: int
    """Number of failed tries."""
    due: float
    """Seconds since 1970."""
    fetch: "Arrival | Future[Arrival] | None" = None
    """The current try; None before it starts."""

    def arrived(self) -> Arrival | None:
        """Return the result of the current try, or None while there is none."""
        if isinstance(self.fetch, Future):
            return self.fetch.result() if self.fetch.done() else None
        return self.fetch


class Retries:
    """The posts of one partition whose images will be fetched again.

    Args:
        fetching: Fetches images.
        tries: Number of retries per post; 0: none.
        state: Snapshot to restore, from `state()`.
        now: Clock, in seconds since 1970.
    """

    def __init__(
        self,
        fetching: Fetching,
        tries: int,
        state: list[Any] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._fetching = fetching
        self._tries = tries
        self._now = now
        self._waiting: dict[str, _Waiting] = {}
        self._bytes = 0
        for global_id, message, failed, due in state or ():
            self._keep(global_id, _Waiting(from_builtins(message), failed, due))

    def __len__(self) -> int:
        """Count the waiting posts."""
        return len(self._waiting)

    def next_due(self) -> float:
        """Return when the earliest retry is or was due, in seconds since 1970; infinity if there is none."""
        return min((it.due for it in self._waiting.values()), default=float("inf"))

    def note(self, arrival: Arrival) -> None:
        """Record a post that was read: it replaces an older one of the same id, and waits for a retry if it failed."""
        self._forget(arrival.post.global_id)
        self._note(arrival, 1)

    def remove(self, removal: Removal) -> None:
        """Cancel the retries of removed posts; hidden ones are kept, since they may be shown again."""
        if removal.hidden is not None:
            return
        for global_id, waiting in list(self._waiting.items()):
            post = parsed(waiting.message)
            if not isinstance(post, Post) or removal.names(post):
                if isinstance(waiting.fetch, Future):
                    waiting.fetch.cancel()
                self._forget(global_id)

    def begin(self) -> None:
        """Start the retries that are due, within the limit of concurrent ones."""
        running = sum(it.fetch is not None for it in self._waiting.values())
        if running >= _AT_ONCE or not self._waiting or self.next_due() > (now := self._now()):
            return
        due = sorted((it.due, key) for key, it in self._waiting.items() if it.fetch is None and it.due <= now)
        for _, global_id in due[: _AT_ONCE - running]:
            waiting = self._waiting[global_id]
            post = parsed(waiting.message)
            if not isinstance(post, Post):  # it was a post for another version of memewax
                self._forget(global_id)
            else:
                (waiting.fetch,) = self._fetching.start([post])

    def is_ready(self) -> bool:
        """Check whether a retry has ended."""
        return any(it.arrived() is not None for it in self._waiting.values())

    def take(self) -> list[tuple[Arrival, int]]:
        """Take the posts whose retry succeeded, each with its number of failed tries; reschedule those that failed."""
        found = []
        for global_id, waiting in list(self._waiting.items()):
            arrival = waiting.arrived()
            if arrival is None:
                continue
            self._forget(global_id)
            if not isinstance(arrival.image, Failure):
                RETRIES.labels("succeeded").inc()
                found.append((arrival, waiting.tries))
            else:
                self._note(arrival, waiting.tries + 1)
        return found

    def state(self) -> list[Any]:
        """Return a snapshot of plain values; after a crash, a running retry is repeated."""
        return [(key, to_builtins(it.message), it.tries, it.due) for key, it in self._waiting.items()]

    def close(self) -> None:
        """Cancel the retries that have not started."""
        for waiting in self._waiting.values():
            if isinstance(waiting.fetch, Future):
                waiting.fetch.cancel()

    def _note(self, arrival: Arrival, tries: int) -> None:
        failure = arrival.image
        if not isinstance(failure, Failure) or not failure.may_pass or not self._tries:
            return
        size = len(arrival.post.message.value)
        if tries > self._tries or len(self._waiting) >= MOST_POSTS or self._bytes + size > MOST_BYTES:
            RETRIES.labels("given_up").inc()
            return
        due = self._now() + min(_FIRST_SECONDS * 2.0 ** (tries - 1), _LONGEST_SECONDS)
        self._keep(arrival.post.global_id, _Waiting(arrival.post.message, tries, due))

    def _keep(self, global_id: str, waiting: _Waiting) -> None:
        self._waiting[global_id] = waiting
        self._bytes += len(waiting.message.value)
        RETRY_WAITING.inc()

    def _forget(self, global_id: str) -> None:
        waiting = self._waiting.pop(global_id, None)
        if waiting is not None:
            self._bytes -= len(waiting.message.value)
            RETRY_WAITING.dec()
