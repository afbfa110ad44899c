"""Posts whose image may yet be there: fetched again, later and later, until it is or there were tries enough.

A part of a source keeps them beside its position, in the same snapshot. So a crash at any moment neither loses a try
nor makes one that was done already.
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
"""That wait in one part; what fails beyond is a dead letter alone."""
MOST_BYTES: Final = 2**20
"""Of their messages."""
_AT_ONCE: Final = 8
_FIRST_SECONDS: Final = 2.0
_LONGEST_SECONDS: Final = 3600.0


@dataclass(slots=True)
class _Waiting:
    """A post whose image is fetched again."""

    message: Message
    tries: int
    """That failed."""
    due: float
    """Seconds since 1970."""
    fetch: "Arrival | Future[Arrival] | None" = None
    """The try that was begun."""

    def arrived(self) -> Arrival | None:
        """What came of the try, once there is something."""
        if isinstance(self.fetch, Future):
            return self.fetch.result() if self.fetch.done() else None
        return self.fetch


class Retries:
    """The posts of one part of a source that are fetched again.

    Args:
        fetching: How images are fetched.
        tries: To make for a post after its first; 0: none.
        state: A snapshot.
        now: Seconds since 1970.
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
        """Count those that wait."""
        return len(self._waiting)

    def next_due(self) -> float:
        """When the next try is due, or since when one runs, in seconds since 1970; infinite where there is none."""
        return min((it.due for it in self._waiting.values()), default=float("inf"))

    def note(self, arrival: Arrival) -> None:
        """Take note of a post that was read: it replaces an older one of the same id, and may have to wait itself."""
        self._forget(arrival.post.global_id)
        self._note(arrival, 1)

    def remove(self, removal: Removal) -> None:
        """Fetch nothing more of what is gone for good."""
        if removal.hidden is not None:
            return
        for global_id, waiting in list(self._waiting.items()):
            post = parsed(waiting.message)
            if not isinstance(post, Post) or removal.names(post):
                if isinstance(waiting.fetch, Future):
                    waiting.fetch.cancel()
                self._forget(global_id)

    def begin(self) -> None:
        """Begin the tries that are due, as far as there is room."""
        running = sum(it.fetch is not None for it in self._waiting.values())
        if running >= _AT_ONCE or not self._waiting or self.next_due() > (now := self._now()):
            return
        due = sorted((it.due, key) for key, it in self._waiting.items() if it.fetch is None and it.due <= now)
        for _, global_id in due[: _AT_ONCE - running]:
            waiting = self._waiting[global_id]
            post = parsed(waiting.message)
            if not isinstance(post, Post):  # another version of memewax took it for a post
                self._forget(global_id)
            else:
                (waiting.fetch,) = self._fetching.start([post])

    def is_ready(self) -> bool:
        """Whether a try has ended."""
        return any(it.arrived() is not None for it in self._waiting.values())

    def take(self) -> list[tuple[Arrival, int]]:
        """Posts whose image is there now, each with the number of tries that failed; others wait for longer."""
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
        """Plain values; a try that runs is made again after a crash."""
        return [(key, to_builtins(it.message), it.tries, it.due) for key, it in self._waiting.items()]

    def close(self) -> None:
        """Begin no further try."""
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
