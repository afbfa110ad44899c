"""The thread behind a source that polls: the flow never waits for it, and it ends when it is told to."""

import threading
import time
from collections.abc import Iterator

import pytest

from connectors.services.api_client import RetryPolicy
from connectors.services.clock import StoppedError, WallClock
from connectors.services.polling_source import PollReader
from connectors.sources.source import Position, Reader, Unit
from core.errors import WorldError
from core.records import Message
from tests.services import Fault, Services, imgur_image, polled, reddit_post


def unit(number: int) -> Unit:
    return Unit([Message(b"", f"{number}")] * 2, {"version": 1, "number": number})


def until(reached: threading.Event) -> None:
    assert reached.wait(10)


def drained(reader: Reader) -> list[Unit]:
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


def polled_once(services: Services, address: str, positions: dict[str, Position]) -> list[bytes]:
    """Keys of a run over all parts, which goes on from `positions` and leaves its own there."""
    source = polled(address, services.settings())
    keys = []
    for part in source.parts():
        for one in drained(source.open(part, positions.get(part))):
            keys += [message.key or b"" for message in one.messages]
            positions[part] = one.resume
    return keys


def test_names_and_services_come_and_go_and_none_is_forgotten(services: Services) -> None:
    names = ["memes", "dankmemes", "cats", "dogs", "birds"]
    for name in names:
        services.reddit[name] = [reddit_post(number, id=f"{name}{number}") for number in (2, 1)]
    services.imgur["gallery/hot/time/day"] = [imgur_image(1)]
    positions: dict[str, Position] = {}
    assert sorted(polled_once(services, f"reddit:{'+'.join(names)}", positions)) == sorted(
        f"{name}{number}-reddit".encode() for name in names for number in (1, 2)
    )
    assert polled_once(services, "imgur:hot", positions) == [b"i1-imgur"]
    assert polled_once(services, "reddit:memes+cats+memes", positions) == []
    services.reddit["dogs"].insert(0, reddit_post(3, id="dogs3"))
    assert polled_once(services, "reddit:dogs+memes", positions) == [b"dogs3-reddit"]
    assert polled_once(services, "imgur:hot", positions) == []


def test_parts_are_the_same_whatever_is_polled(services: Services) -> None:
    parts = [polled(address, services.settings()).parts() for address in ("reddit:a+b", "imgur:hot", "tumblr:x")]
    assert parts[0] == parts[1] == parts[2]


def test_a_position_of_another_version_is_refused(services: Services) -> None:
    source = polled("reddit:memes", services.settings())
    with pytest.raises(WorldError, match="version 7"):
        source.open("services#0", {"version": 7})


def test_who_follows_is_as_patient_as_it_takes(services: Services) -> None:
    services.reddit["memes"] = [reddit_post(1)]
    services.faults.extend([Fault(500)])
    source = polled("reddit:memes", services.settings(follow=True, poll_attempts=1))
    assert source._retry_policy == RetryPolicy(20.0, 0, 1.0, float("inf"))
    readers = [source.open(part, None) for part in source.parts()]
    assert [reader.ended for reader in readers].count(False) == 1
    for reader in readers:
        reader.close()


def test_what_reads_is_closed_in_its_thread_and_not_when_the_process_ends() -> None:
    """A connection that is closed when the process ends waits for a thread that no longer runs."""
    closed = threading.Event()
    closed_in: list[str] = []

    def units() -> Iterator[Unit]:
        try:
            for number in range(1000):
                yield unit(number)
        finally:
            closed_in.append(threading.current_thread().name)

    made = units()  # held here, so that nobody collects it
    reader = PollReader(made, threading.Event(), closed.set)
    reader.close()
    until(closed)
    assert closed_in == ["poll"]
