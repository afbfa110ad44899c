"""What a poller reads and remembers: nothing lost, nothing doubled, whatever moves and whenever it is stopped."""

import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.services.listing import Cursor, Listing, ListingItem, Page, Reason, ServiceImage, ServicePost
from connectors.services.polling_cycles import PollingCycles, PollingOptions
from connectors.sources.source import Position, Unit
from core.errors import WorldError
from tests.connectors.services.conftest import HandClock

ONCE: Final = PollingOptions(batch=4, pages=0, most_pages=50, seen=1000, follow=False, interval=60)


@dataclass
class Feed(Listing):
    """Numbers, newest first, by anchors or by numbers of pages; what is done before a page is read moves them."""

    numbers: list[int]
    size: int = 4
    counted: bool = False
    before: list[Callable[[], None]] = field(default_factory=list)
    read: list[Cursor | None] = field(default_factory=list)
    gallery: int = 1
    service: str = "reddit"

    def __post_init__(self) -> None:
        self.shifts = self.counted

    def page(self, cursor: Cursor | None) -> Page | None:
        self.read.append(cursor)
        if self.before:
            self.before.pop(0)()
        if self.counted:
            start = int(cursor or 0) * self.size
            found = self.numbers[start : start + self.size]
            return Page([item(n) for n in found], int(cursor or 0) + 1 if found else None)
        found = [n for n in self.numbers if cursor is None or n < int(cursor)]
        more = len(found) > self.size
        return Page([item(n) for n in found[: self.size]], found[self.size - 1] if more else None)

    def parse_item(self, item: ListingItem) -> ServicePost | Reason:
        number = item.body
        if number % 10 == 9:
            return "video"
        images = [ServiceImage(f"https://x/{number}.png")] * self.gallery
        return ServicePost(str(number), "", item.created, "", 0, images, "", "")


def item(number: int) -> ListingItem:
    return ListingItem(f"t3_{number}", 1e9 + number, number)


def ids(units: list[Unit]) -> list[str]:
    return [orjson.loads(message.value)["global_id"] for unit in units for message in unit.messages]


def expected(*ranges: range) -> set[str]:
    return {f"{n}-reddit" for numbers in ranges for n in numbers if n % 10 != 9}


def rounds(feed: Feed, resume: Position | None = None, polling: PollingOptions = ONCE) -> Iterator[Unit]:
    kept = None if resume is None else pickle.loads(pickle.dumps(resume))
    return PollingCycles(feed, "reddit:numbers", polling, HandClock(), kept).units()


def run(feed: Feed, resume: Position | None = None, polling: PollingOptions = ONCE) -> tuple[list[str], Position]:
    units = list(rounds(feed, resume, polling))
    return ids(units), units[-1].resume


def newest_first(stop: int, start: int = 0) -> list[int]:
    return list(range(start, stop))[::-1]


@pytest.mark.parametrize("counted", [False, True])
def test_the_first_run_takes_the_newest_page(counted: bool) -> None:
    feed = Feed(newest_first(30), counted=counted)
    found, _ = run(feed)
    assert found == ["26-reddit", "27-reddit", "28-reddit"]  # oldest first; 29 is a video
    assert feed.read == [None]


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize("new", [0, 1, 3, 4, 5, 17, 40])
def test_the_next_run_takes_what_is_new(counted: bool, new: int) -> None:
    feed = Feed(newest_first(20), counted=counted)
    _, position = run(feed, polling=replace(ONCE, pages=3))
    feed.numbers = newest_first(20 + new)
    feed.read.clear()
    found, again = run(feed, position)
    assert sorted(found) == sorted(expected(range(20, 20 + new)))
    assert len({cursor or 0 for cursor in feed.read}) <= new // 4 + 2  # no further back than to what is known
    assert run(feed, again)[0] == []


def test_where_little_is_known_a_round_may_take_the_rest_of_a_page() -> None:
    feed = Feed(newest_first(20))
    _, position = run(feed)
    feed.numbers = newest_first(22)
    found, again = run(feed, position)
    assert sorted(found) == ["14-reddit", "15-reddit", "20-reddit", "21-reddit"]
    assert run(feed, again)[0] == []


def test_a_round_may_reach_back_over_many_pages() -> None:
    feed = Feed(newest_first(100))
    found, position = run(feed, polling=replace(ONCE, pages=6))
    assert sorted(found) == sorted(expected(range(76, 100)))
    assert run(feed, position, replace(ONCE, pages=9))[0] != []  # further back than before
    assert run(feed, position)[0] == []


def test_no_further_than_the_bound_and_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    feed = Feed(newest_first(20))
    _, position = run(feed)
    feed.numbers = newest_first(200)
    found, _ = run(feed, position, replace(ONCE, most_pages=3))
    assert len(feed.read) == 4
    assert sorted(found) == sorted(expected(range(188, 200)))
    assert "more new posts than a polling cycle reads" in capsys.readouterr().out


def test_a_listing_that_ends_before_what_is_known_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    feed = Feed(newest_first(20))
    _, position = run(feed)
    feed.numbers = newest_first(60, 50)
    assert sorted(run(feed, position)[0]) == sorted(expected(range(50, 60)))
    assert "the listing ends before any known post" in capsys.readouterr().out


def test_pinned_posts_and_posts_out_of_turn_do_not_end_a_round() -> None:
    feed = Feed(newest_first(20), counted=True)
    _, position = run(feed, polling=replace(ONCE, pages=2))
    feed.numbers = [27, 26, 25, 18, 24, 23, 22, 17, 21, 20, 19, 16]  # 16 to 19 are known; pages of four
    found, _ = run(feed, position, replace(ONCE, most_pages=9))
    assert sorted(found) == sorted(expected(range(20, 28)))


@pytest.mark.parametrize("counted", [False, True])
def test_posts_that_come_while_pages_are_read_do_not_double_others(counted: bool) -> None:
    feed = Feed(newest_first(40), counted=counted)
    feed.before = [lambda: None, lambda: feed.numbers.insert(0, 40), lambda: feed.numbers.insert(0, 41)]
    found, position = run(feed, polling=replace(ONCE, pages=5))
    assert len(found) == len(set(found))
    later, _ = run(feed, position)
    assert set(found) | set(later) >= expected(range(24, 42))
    assert not set(found) & set(later)


@pytest.mark.parametrize("counted", [False, True])
def test_posts_that_are_removed_while_pages_are_read_do_not_hide_others(counted: bool) -> None:
    feed = Feed(newest_first(40), counted=counted)
    feed.before = [lambda: None, lambda: feed.numbers.remove(38), lambda: feed.numbers.remove(37)]
    found, _ = run(feed, polling=replace(ONCE, pages=5))
    assert len(found) == len(set(found))
    assert set(found) >= expected(range(24, 40))


def test_no_round_ends_at_what_was_met_on_the_way_up_only() -> None:
    """Interrupted on its way up while posts came: those on the first page then do not hide those behind them."""
    feed = Feed(newest_first(38), size=3, counted=True)
    _, position = run(feed, polling=replace(ONCE, pages=9))
    feed.numbers = newest_first(44)
    feed.before = [lambda: None] * 4 + [lambda: feed.numbers.__setitem__(slice(0, 0), newest_first(50, 44))]
    units = list(islice(rounds(feed, position), 3))  # the third one is the first page, on the way up
    assert ids(units[2:]) == ["47-reddit", "48-reddit"]
    rest, _ = run(feed, units[2].resume)
    assert sorted(ids(units) + rest) == sorted(expected(range(38, 50)))


def test_what_was_handed_out_of_a_page_is_known_on_the_next_one() -> None:
    feed = Feed(newest_first(20), counted=True)
    polling = replace(ONCE, batch=1, pages=4)
    first = list(islice(rounds(feed, polling=polling), 1))  # 16, of the first page
    feed.numbers = newest_first(24)  # which is the second one now
    rest, _ = run(feed, first[0].resume, polling)
    assert (ids(first), rest.count("16-reddit")) == (["16-reddit"], 0)


def test_an_interrupted_backfill_is_not_begun_again() -> None:
    feed = Feed(newest_first(60))
    polling = replace(ONCE, pages=6)
    units = list(islice(rounds(feed, polling=polling), 3))
    feed.read.clear()
    rest, _ = run(feed, units[-1].resume, polling)
    assert sorted(ids(units) + rest) == sorted(expected(range(36, 60)))
    assert len(feed.read) == 4 + 1


def test_posts_that_are_pinned_at_the_end_of_a_page_do_not_end_a_round() -> None:
    class Pinning(Feed):
        def page(self, cursor: Cursor | None) -> Page | None:
            page = super().page(cursor)
            return page and replace(page, items=[replace(it, pinned=it.body < 3) for it in page.items])

    feed = Pinning(newest_first(20), counted=True)
    _, position = run(feed, polling=replace(ONCE, pages=5))
    feed.numbers = [27, 2, 1, 0, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15]
    assert sorted(run(feed, position)[0]) == sorted(expected(range(20, 28)))


def test_a_gallery_is_cut_at_a_unit_and_goes_on_there() -> None:
    feed = Feed([3, 2, 1], gallery=6)
    every = [f"{number}_{part}-reddit" for number in (1, 2, 3) for part in range(1, 7)]
    units = list(rounds(feed))
    assert ids(units) == every
    assert max(len(unit.messages) for unit in units) == ONCE.batch
    for done in range(len(units)):
        rest = ids(list(rounds(feed, units[done].resume)))
        assert ids(units[: done + 1]) + rest == every


def test_the_position_is_plain_and_of_a_version() -> None:
    position = next(rounds(Feed(newest_first(9)))).resume
    assert position["version"] == 1

    def plain(value: Any) -> bool:
        if isinstance(value, dict):
            return all(map(plain, value.values()))
        return (
            all(map(plain, value))
            if isinstance(value, tuple)
            else value is None or isinstance(value, str | float | int)
        )

    assert plain(position)
    with pytest.raises(WorldError, match="version 2"):
        rounds(Feed([]), {**position, "version": 2})


def test_what_is_remembered_is_bounded_and_the_newest() -> None:
    feed = Feed(newest_first(3000), size=100)
    polling = replace(ONCE, seen=400)
    found, position = run(feed, polling=replace(polling, pages=30))
    assert len(found) == len(set(found)) == 2700
    assert len(position["seen"]) == 400
    feed.numbers = newest_first(3005)
    assert sorted(run(feed, position, polling)[0]) == sorted(expected(range(3000, 3005)))


def test_what_stays_listed_is_not_forgotten() -> None:
    polling = replace(ONCE, seen=200)
    feed = Feed([*newest_first(8), 1_000_000], size=9)
    feed.numbers = [1_000_000, *newest_first(8)]  # on top for ever
    came, position = run(feed, polling=polling)
    for high in range(16, 400, 8):
        feed.numbers = [1_000_000, *newest_first(high)]
        found, position = run(feed, position, polling)
        came += found
    assert sorted(came) == sorted({*expected(range(392)), "1000000-reddit"})


def test_a_followed_listing_is_asked_again_after_the_interval() -> None:
    feed, clock = Feed(newest_first(20), size=9), HandClock()
    units = PollingCycles(feed, "reddit:numbers", replace(ONCE, follow=True, batch=9), clock).units()
    assert len(ids(list(islice(units, 2)))) == 8
    feed.numbers = newest_first(22)
    assert ids(list(islice(units, 2))) == ["20-reddit", "21-reddit"]
    assert clock.waits == [60]


def test_what_has_no_known_form_is_handed_on_whole() -> None:
    class Strange(Feed):
        def parse_item(self, item: ListingItem) -> ServicePost | Reason:
            raise ValueError("odd")

    messages = [message for unit in rounds(Strange([5])) for message in unit.messages]
    assert [(orjson.loads(it.value), it.origin, it.key) for it in messages] == [
        ({"item": 5, "wrong": "odd"}, "reddit:numbers@t3_5", b"t3_5")
    ]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), counted=st.booleans(), size=st.integers(3, 7), batch=st.integers(1, 5))
def test_stopped_anywhere_nothing_is_lost_and_nothing_doubled(
    data: st.DataObject, counted: bool, size: int, batch: int
) -> None:
    """Runs that are killed after any unit, while posts come and go, between runs and between pages; then a whole run."""
    polling = replace(ONCE, batch=batch, pages=3, most_pages=1000)  # more than ever come
    feed = Feed(newest_first(30), size, counted)
    came, position = run(feed, polling=polling)
    first, high = 30 - 3 * size, 30
    gone: set[int] = set()

    def change() -> None:
        nonlocal high
        coming, going = data.draw(st.integers(0, 25)), data.draw(st.integers(0, 4))
        feed.numbers = [*newest_first(high + coming, high), *feed.numbers]
        high += coming
        for number in data.draw(st.lists(st.sampled_from(feed.numbers[:20]), max_size=going, unique=True)):
            feed.numbers.remove(number)
            gone.add(number)

    for _ in range(data.draw(st.integers(1, 4))):
        change()
        feed.before = data.draw(st.lists(st.sampled_from([lambda: None, change]), max_size=4))
        units = list(islice(rounds(feed, position, replace(polling, pages=0)), data.draw(st.integers(0, 9))))
        if units:
            came += ids(units)
            position = units[-1].resume
    feed.before = []
    came += run(feed, position, replace(polling, pages=0))[0]
    assert len(came) == len(set(came))
    assert set(came) >= expected(range(first, high)) - {f"{number}-reddit" for number in gone}
