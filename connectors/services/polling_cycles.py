"""Polling cycles: read a listing from its newest post back to posts that are already known.

A service lists the newest posts first, in pages. One polling cycle starts at the newest page and pages backwards until
a page ends with known posts. The state that it needs for this is small and part of every snapshot:

* `seen`: the ids of the newest posts that earlier cycles handed out. They deduplicate posts that move between pages,
  and the next cycle ends at them.
* `oldest_seen`: the time of the oldest post that a cycle has reached. Older posts count as known without their ids, so
  that a cycle ends although `seen` is bounded.
* `CycleState`: the progress of the current cycle. An interrupted cycle resumes at its page. Starting again at the
  newest post would meet known posts, end there, and lose all posts behind the page of the interruption.

Imgur numbers pages from the newest post. While a cycle pages backwards (descends), a deleted post shifts all older
posts one place towards the newest, possibly to a page that was read already; such a post would be missed. So the cycle
then reads the same pages once more in the opposite direction, *ascending* towards the newest post, which is the
direction in which these posts move.

A post that is met only while ascending may be one of these, or one that was published after the descent began. In the
latter case, older unread posts may lie between it and the known ones. So its id is *unconfirmed*: the post is handed
out once, but no cycle ends at it until a descent has passed it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from connectors.services.clock import Clock
from connectors.services.cycle_state import CycleState
from connectors.services.listing import Listing, ListingItem, Page, as_json, posts_of, why_strange
from connectors.sources.source import Position, Unit, check_version
from core.records import Message
from core.telemetry import SKIPPED, log

_VERSION: Final = 1
_STRANGE: Final = (ValueError, OverflowError, OSError)
"""Errors raised for an item of unknown form or with an invalid time."""
_TAIL: Final = 3
"""Number of posts at the end of a page that must all be known: a single one may be out of order."""


@dataclass(frozen=True, slots=True)
class PollingOptions:
    """How a listing is polled."""

    batch: int
    """Maximum number of posts in a unit."""
    pages: int
    """Pages of the first cycle, even if their posts are known (backfill); 0: read until posts are known."""
    most_pages: int
    """Maximum number of pages in a cycle, unless `pages` is set."""
    seen: int
    """Number of ids to remember."""
    follow: bool
    interval: float
    """Seconds between cycles."""


class PollingCycles:
    """Poll one listing; the module docstring explains the state."""

    def __init__(
        self, listing: Listing, name: str, polling: PollingOptions, clock: Clock, resume: Position | None = None
    ) -> None:
        self._listing = listing
        self._name = name
        self._polling = polling
        self._clock = clock
        self._seen: tuple[str, ...] = ()
        self._unconfirmed: tuple[str, ...] = ()
        self._oldest_seen: float | None = None
        self._cycle: CycleState | None = None
        self._marks: dict[str, str] = {}
        """Version headers (ETag) of the last complete cycle. Those of the current one would hide its unread pages."""
        if resume is not None:
            self._restore(resume)
        self._known: set[str] = set(self._seen)
        """Ids already handed out; a cycle may end at those that are not unconfirmed."""

    def units(self) -> Iterator[Unit]:
        """Yield posts, oldest first within a page; end after one cycle unless the listing is followed.

        A unit without posts marks the end of a cycle. Raises the errors of `ApiClient.get`.
        """
        pages = self._polling.pages
        if self._cycle is not None:  # resume the interrupted cycle
            pages = 0 if self._cycle.pages else pages
            yield from self._finish_cycle()
        while True:
            self._cycle = CycleState(pages)
            pages = 0
            yield from self._finish_cycle()
            if not self._polling.follow:
                return
            self._clock.sleep(self._polling.interval)

    def _finish_cycle(self) -> Iterator[Unit]:
        this = self._cycle
        assert this is not None
        while True:
            page = self._listing.page(this.cursor)
            if page is None:  # unchanged since the last cycle
                break
            yield from self._hand_out(page, this)
            tail = [item for item in page.items if not item.pinned][-_TAIL:]
            page_ids = [*(item.id for item in page.items), *this.done]
            if this.ascending:
                met = {*this.listed, *self._known}
                this.unconfirmed += [it for it in dict.fromkeys(page_ids) if it not in met]
            this.listed = self._bounded([*this.listed, *page_ids])
            this.done, this.partial = [], None
            this.oldest = min((item.created for item in tail if item.created), default=this.oldest)
            if not self._turn_page(page, this, ended=self._is_end(page, tail, this)):
                break
        self._learn(this)
        yield Unit([], self._position())

    def _turn_page(self, page: Page, this: CycleState, *, ended: bool) -> bool:
        """Go to the next page of the cycle, or return False if the cycle is over."""
        if not this.ascending and not ended:
            this.cursor, this.depth = page.next, this.depth + 1
            return True
        this.ascending = True
        if not self._listing.shifts or this.depth <= 1 or len(this.listed) >= self._polling.seen // 2 * 2:
            return False  # too many ids to remember: while ascending, posts could not be deduplicated
        this.depth -= 1
        this.cursor = this.depth - 1
        return True

    def _is_end(self, page: Page, tail: list[ListingItem], this: CycleState) -> bool:
        if page.next is None:
            if self._known and not this.pages and tail and not self._is_known(tail):
                log.warning("the listing ends before any known post: posts may be missing", source=self._name)
            return True
        if this.pages:
            return this.depth >= this.pages
        if not self._known or self._is_known(tail):
            return True
        if this.depth >= self._polling.most_pages:
            log.warning(
                "more new posts than a polling cycle reads; --pages goes further back",
                source=self._name,
                pages=this.depth,
            )
            return True
        return False

    def _is_known(self, tail: list[ListingItem]) -> bool:
        return all(
            (item.id in self._known and item.id not in self._unconfirmed)
            or (self._oldest_seen is not None and 0 < item.created < self._oldest_seen)
            for item in tail
        )

    def _hand_out(self, page: Page, this: CycleState) -> Iterator[Unit]:
        listed = {*this.listed, *this.done}
        messages: list[Message] = []
        for item in reversed(page.items):
            if item.id in self._known or item.id in listed:
                continue
            listed.add(item.id)
            found = self._messages(item)
            skip = this.partial[1] if this.partial and this.partial[0] == item.id else 0
            for number, message in enumerate(found[skip:], skip + 1):
                messages.append(message)
                this.partial = item.id, number
                if len(messages) >= self._polling.batch and number < len(found):
                    yield Unit(messages, self._position())
                    messages = []
            this.done.append(item.id)
            this.partial = None
            if len(messages) >= self._polling.batch:
                yield Unit(messages, self._position())
                messages = []
        if messages:
            yield Unit(messages, self._position())

    def _messages(self, item: ListingItem) -> list[Message]:
        origin = f"{self._name}@{item.id}"
        try:
            found = self._listing.parse_item(item)
            if isinstance(found, str):
                SKIPPED.labels(self._listing.service, found).inc()
                return []
            bodies = posts_of(found, self._listing.service, datetime.fromtimestamp(self._clock.now(), UTC))
        except _STRANGE as error:  # parsing turns this message into a dead letter
            return [Message(as_json({"item": item.body, "wrong": why_strange(error)}), origin, item.id.encode())]
        for image in found.images:
            if isinstance(image, str):
                SKIPPED.labels(self._listing.service, image).inc()
        return [Message(as_json(body), origin, body["global_id"].encode()) for body in bodies]

    def _learn(self, this: CycleState) -> None:
        """Mark the posts of a complete cycle as known, and remember the newest ids."""
        self._cycle = None
        self._marks = dict(self._listing.marks)
        self._seen = tuple(dict.fromkeys([*this.listed, *self._seen]))[: self._polling.seen]
        self._known = set(self._seen)
        descended = {*this.listed}.difference(this.unconfirmed)
        self._unconfirmed = tuple(
            it for it in {*self._unconfirmed, *this.unconfirmed} & self._known if it not in descended
        )
        if this.oldest is not None:
            self._oldest_seen = min(this.oldest, self._oldest_seen or this.oldest)

    def _bounded(self, listed: list[str]) -> list[str]:
        """Keep the newest ids, which the next cycle meets, and the oldest, which the next page may repeat."""
        listed = list(dict.fromkeys(listed))
        half = self._polling.seen // 2
        return listed if len(listed) <= 2 * half else listed[:half] + listed[-half:]

    def _position(self) -> Position:
        this = self._cycle
        return {
            "version": _VERSION,
            "seen": self._seen,
            "loose": self._unconfirmed,
            "floor": self._oldest_seen,
            "marks": self._marks,
            "round": None if this is None else this.as_plain(),
        }

    def _restore(self, resume: Position) -> None:
        check_version(resume, _VERSION, f"the polling state of {self._name}")
        self._seen, self._unconfirmed, self._oldest_seen = resume["seen"], resume["loose"], resume["floor"]
        self._marks = dict(resume.get("marks", {}))
        self._listing.remember(self._marks)
        self._cycle = None if resume["round"] is None else CycleState.of_plain(resume["round"])
