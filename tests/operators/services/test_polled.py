"""The thread behind a source that polls: the flow never waits for it, and it ends when it is told to."""

import threading
import time
from collections.abc import Iterator

import pytest

from memewax.errors import WorldError
from memewax.records import Message
from operators.reading import Unit
from operators.services.client import Manners
from operators.services.clock import StoppedError, WallClock
from operators.services.known import polled
from operators.services.polled import PollReader
from tests.services import Fault, Services, reddit_post


def unit(number: int) -> Unit:
    return Unit([Message(b"", f"{number}")] * 2, {"version": 1, "number": number})


def until(reached: threading.Event) -> None:
    assert reached.wait(10)


def drained(reader: PollReader) -> list[Unit]:
    """All units, to the end."""
    found: list[Unit] = []
    pause = threading.Event()
    while not reader.ended:
        one = reader.read()
        if one is None:
            pause.wait(0.001)
        else:
            found.append(one)
    return found


def test_units_come_in_their_order_and_then_the_end() -> None:
    closed = threading.Event()
    reader = PollReader(map(unit, range(50)), threading.Event(), closed.set)
    assert drained(reader) == [unit(number) for number in range(50)]
    assert reader.lag() == 0
    until(closed)


def test_no_more_is_read_ahead_than_the_bound() -> None:
    read: list[int] = []

    def units() -> Iterator[Unit]:
        for number in range(1000):
            read.append(number)
            yield unit(number)

    reader = PollReader(units(), threading.Event(), lambda: None)
    first = None
    while first is None:
        first = reader.read()
    assert len(read) <= 1 + 16 + 2
    reader.close()


def test_reading_does_not_wait_for_an_answer() -> None:
    asked, answered = threading.Event(), threading.Event()

    def units() -> Iterator[Unit]:
        asked.set()
        until(answered)
        yield unit(1)

    reader = PollReader(units(), threading.Event(), lambda: None)
    until(asked)
    assert reader.read() is None
    assert not reader.ended
    answered.set()
    assert drained(reader) == [unit(1)]


def test_what_ends_the_polling_is_raised_where_it_is_read() -> None:
    def units() -> Iterator[Unit]:
        yield unit(1)
        raise WorldError("the service has ended")

    reader = PollReader(units(), threading.Event(), lambda: None)
    with pytest.raises(WorldError, match="has ended"):
        drained(reader)
    assert reader.ended


def test_closing_ends_a_wait_of_any_length() -> None:
    waits, closed, stop = threading.Event(), threading.Event(), threading.Event()
    clock = WallClock(stop)

    def units() -> Iterator[Unit]:
        waits.set()
        clock.sleep(3600)
        yield unit(1)

    reader = PollReader(units(), stop, closed.set)
    until(waits)
    reader.close()
    until(closed)
    assert reader.read() is None


def test_closing_ends_one_that_waits_for_room() -> None:
    closed, full = threading.Event(), threading.Event()

    def units() -> Iterator[Unit]:
        for number in range(10_000):
            if number == 16:
                full.set()
            yield unit(number)

    reader = PollReader(units(), threading.Event(), closed.set)
    until(full)
    reader.close()
    until(closed)


def test_a_wait_that_is_not_stopped_ends_by_itself() -> None:
    clock = WallClock(threading.Event())
    assert abs(clock.now() - time.time()) < 10
    clock.sleep(0)
    clock.sleep(-1)
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        WallClock(stop).sleep(0)


def test_a_source_has_a_part_a_name_and_each_is_polled(services: Services) -> None:
    for name in ("memes", "dankmemes"):
        services.reddit[name] = [reddit_post(number, id=f"{name}{number}") for number in (2, 1)]
    source = polled("reddit:memes+dankmemes+memes", services.settings())
    assert source.parts() == ["reddit:memes", "reddit:dankmemes"]
    for part in source.parts():
        keys = [message.key for one in drained(source.open(part, None)) for message in one.messages]
        assert keys == [f"{part[7:]}{number}-reddit".encode() for number in (1, 2)]
    position = drained(source.open("reddit:memes", None))[-1].resume
    assert [len(one.messages) for one in drained(source.open("reddit:memes", position))] == [0]


def test_who_follows_is_as_patient_as_it_takes(services: Services) -> None:
    services.reddit["memes"] = [reddit_post(1)]
    services.faults.extend([Fault(500)])
    source = polled("reddit:memes", services.settings(follow=True, poll_attempts=1))
    assert source._manners == Manners(20.0, 0, float("inf"))
    reader = source.open("reddit:memes", None)
    assert isinstance(reader, PollReader)
    reader.close()
