"""Rounds of polling: from the newest post back to what is known, and what has to be remembered for that.

A round reads pages until one ends with posts that are known already. What was handed out is known by its id, so a post
that moves between pages while they are read comes once; a round that was interrupted goes on with its page, so that
what lies behind it is not taken for known. Where pages are counted from the newest post (Imgur), a post that the
removal of another one moves to an earlier page would be missed on the way down; so the same pages are read once more on
the way up, the direction in which such posts move. Between what is met only on the way up, new posts among it, and what
was known there may be a gap: it comes once, but no round ends at it.
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
"""What comes of an item of no known form, or with a time that is none."""
_TAIL: Final = 3
"""So many posts at the end of a page must be known: one alone may be there out of turn."""


@dataclass(frozen=True, slots=True)
class PollingOptions:
    """How a listing is polled."""

    batch: int
    """Posts of a unit, at most."""
    pages: int
    """Pages of the first round, whatever is known; 0: as far as something is new."""
    most_pages: int
    """Pages of a round, at most, where `pages` does not say."""
    seen: int
    """Ids that are remembered."""
    follow: bool
    interval: float
    """Seconds between rounds."""


class PollingCycles:
    """Polls one listing."""

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
        """Of the last round that is over: those of one on its way would make its rest seem to be known."""
        if resume is not None:
            self._go_on(resume)
        self._known: set[str] = set(self._seen)
        """What has come; a round may end at that of it which is not loose."""

    def units(self) -> Iterator[Unit]:
        """Posts, oldest first within a page; ends after one round unless the listing is followed.

        A unit without posts says that the round is over. Raises as `ApiClient.get` does.
        """
        pages = self._polling.pages
        if self._cycle is not None:  # it was interrupted
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
            if page is None:  # as it was
                break
            yield from self._hand_out(page, this)
            tail = [item for item in page.items if not item.pinned][-_TAIL:]
            here = [*(item.id for item in page.items), *this.done]
            if this.ascending:
                met = {*this.listed, *self._known}
                this.unconfirmed += [it for it in dict.fromkeys(here) if it not in met]
            this.listed = self._bounded([*this.listed, *here])
            this.done, this.partial = [], None
            this.oldest = min((item.created for item in tail if item.created), default=this.oldest)
            if not self._turn_page(page, this, ended=self._is_end(page, tail, this)):
                break
        self._learn(this)
        yield Unit([], self._position())

    def _turn_page(self, page: Page, this: CycleState, *, ended: bool) -> bool:
        """Go to the next page; False where there is none."""
        if not this.ascending and not ended:
            this.cursor, this.depth = page.next, this.depth + 1
            return True
        this.ascending = True
        if not self._listing.shifts or this.depth <= 1 or len(this.listed) >= self._polling.seen // 2 * 2:
            return False  # of more than can be remembered nobody could say on the way up what had come already
        this.depth -= 1
        this.cursor = this.depth - 1
        return True

    def _is_end(self, page: Page, tail: list[ListingItem], this: CycleState) -> bool:
        if page.next is None:
            if self._known and not this.pages and tail and not self._is_known(tail):
                log.warning("the service lists no more, and what was read before was not met", source=self._name)
            return True
        if this.pages:
            return this.depth >= this.pages
        if not self._known or self._is_known(tail):
            return True
        if this.depth >= self._polling.most_pages:
            log.warning(
                "more new posts than a round reads; --pages goes further back", source=self._name, pages=this.depth
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
            handed = this.partial[1] if this.partial and this.partial[0] == item.id else 0
            for number, message in enumerate(found[handed:], handed + 1):
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
            found = self._listing.look(item)
            if isinstance(found, str):
                SKIPPED.labels(self._listing.service, found).inc()
                return []
            bodies = posts_of(found, self._listing.service, datetime.fromtimestamp(self._clock.now(), UTC))
        except _STRANGE as error:  # whoever parses it makes a dead letter of it, with all that it holds
            return [Message(as_json({"item": item.body, "wrong": why_strange(error)}), origin, item.id.encode())]
        for image in found.images:
            if isinstance(image, str):
                SKIPPED.labels(self._listing.service, image).inc()
        return [Message(as_json(body), origin, body["global_id"].encode()) for body in bodies]

    def _learn(self, this: CycleState) -> None:
        """What a round has listed is known from now on; the newest are remembered."""
        self._cycle = None
        self._marks = dict(self._listing.marks)
        self._seen = tuple(dict.fromkeys([*this.listed, *self._seen]))[: self._polling.seen]
        self._known = set(self._seen)
        met_on_the_way_down = {*this.listed}.difference(this.unconfirmed)
        self._unconfirmed = tuple(
            it for it in {*self._unconfirmed, *this.unconfirmed} & self._known if it not in met_on_the_way_down
        )
        if this.oldest is not None:
            self._oldest_seen = min(this.oldest, self._oldest_seen or this.oldest)

    def _bounded(self, listed: list[str]) -> list[str]:
        """The newest, which the next round meets, and the last ones, which the next page may show again."""
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

    def _go_on(self, resume: Position) -> None:
        check_version(resume, _VERSION, f"seen of {self._name}")
        self._seen, self._unconfirmed, self._oldest_seen = resume["seen"], resume["loose"], resume["floor"]
        self._marks = dict(resume.get("marks", {}))
        self._listing.remember(self._marks)
        self._cycle = None if resume["round"] is None else CycleState.of_plain(resume["round"])
