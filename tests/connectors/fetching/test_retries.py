"""Images that may yet be there are fetched again, later and later, across crashes, within bounds."""

import pickle
from collections.abc import Sequence

import numpy as np
import pytest

from connectors.fetching import retries
from connectors.fetching.fetch import Fetching
from connectors.fetching.retries import Retries
from core.records import Arrival, Failure, Post
from tests.factories import is_plain, post

IMAGE = np.zeros((1, 1, 3), np.uint8)
PASSING = Failure("fetch", "FetchError", "HTTP 503", may_pass=True)
LASTING = Failure("fetch", "FetchError", "HTTP 404")


class Server(Fetching):
    """Fails until it is mended."""

    def __init__(self) -> None:
        self.answer: np.ndarray | Failure = PASSING
        self.asked: list[str] = []

    def start(self, posts: Sequence[Post]) -> Sequence[Arrival]:
        self.asked += [it.global_id for it in posts]
        return [Arrival(it, self.answer) for it in posts]


class Clocked:
    def __init__(self, tries: int = 12) -> None:
        self.server = Server()
        self.now = 1_000_000.0
        self.tries = tries
        self.retries = self.made(None)

    def made(self, state: list[object] | None) -> Retries:
        return Retries(self.server, self.tries, state, now=lambda: self.now)

    def fail(self, global_id: str = "a", failure: Failure = PASSING) -> None:
        self.retries.note(Arrival(post(global_id), failure))

    def wait(self, seconds: float) -> list[tuple[str, int]]:
        self.now += seconds
        self.retries.begin()
        return [(arrival.post.global_id, tries) for arrival, tries in self.retries.take()]

    def crash(self) -> None:
        self.retries = self.made(pickle.loads(pickle.dumps(self.retries.state())))


@pytest.fixture
def clocked() -> Clocked:
    return Clocked()


def test_it_is_fetched_later_and_later_until_it_is_there(clocked: Clocked) -> None:
    clocked.fail()
    for pause in (2, 4, 8, 16):
        assert clocked.wait(pause - 1) == []
        before = len(clocked.server.asked)
        if pause == 16:
            clocked.server.answer = IMAGE
        found = clocked.wait(1)
        assert len(clocked.server.asked) == before + 1
        assert found == ([("a", 4)] if pause == 16 else [])
    assert len(clocked.retries) == 0
    assert clocked.wait(10_000) == []


def test_a_pause_is_an_hour_at_most_and_tries_have_an_end(clocked: Clocked) -> None:
    clocked.fail()
    for _ in range(13):
        clocked.wait(3600)
    assert len(clocked.server.asked) == 12
    assert len(clocked.retries) == 0


def test_what_will_not_pass_is_not_fetched_again(clocked: Clocked) -> None:
    clocked.fail(failure=LASTING)
    assert len(clocked.retries) == 0
    clocked.fail()
    clocked.server.answer = LASTING
    clocked.wait(2)
    assert len(clocked.retries) == 0


def test_a_crash_forgets_no_try_and_makes_none_twice(clocked: Clocked) -> None:
    clocked.fail()
    clocked.wait(2)
    assert is_plain(clocked.retries.state())
    clocked.crash()
    assert clocked.wait(3) == []
    assert len(clocked.server.asked) == 1
    clocked.now += 1
    clocked.retries.begin()
    clocked.crash()  # while a try runs
    clocked.server.answer = IMAGE
    assert clocked.wait(0) == [("a", 2)]
    clocked.crash()
    assert clocked.wait(10_000) == []


def test_a_newer_message_of_the_post_takes_its_place(clocked: Clocked) -> None:
    clocked.fail()
    clocked.retries.note(Arrival(post("a", url="other.png"), IMAGE))
    assert clocked.wait(10_000) == []
    assert clocked.server.asked == []


def test_no_more_wait_than_there_is_room_for(clocked: Clocked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "MOST_POSTS", 3)
    for number in range(5):
        clocked.fail(str(number))
    assert len(clocked.retries) == 3
    size = len(post("0").message.value)
    monkeypatch.setattr(retries, "MOST_BYTES", 3 * size + 1)
    monkeypatch.setattr(retries, "MOST_POSTS", 100)
    clocked.fail("6")
    assert len(clocked.retries) == 3


def test_none_are_made_where_none_are_wanted() -> None:
    clocked = Clocked(tries=0)
    clocked.fail()
    assert len(clocked.retries) == 0
