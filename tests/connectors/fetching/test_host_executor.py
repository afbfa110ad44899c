"""Turns of many hosts in one pool of threads."""

import threading
from concurrent.futures import Future, wait

import pytest

from connectors.fetching.host_executor import PerHostExecutor

SECONDS = 10.0


class Calls:
    """Calls that end when the test says so."""

    def __init__(self) -> None:
        self.begun: dict[str, threading.Event] = {}
        self.may_end: dict[str, threading.Event] = {}

    def submit(self, turns: PerHostExecutor[str], host: str, name: str) -> Future[str]:
        self.begun[name], self.may_end[name] = threading.Event(), threading.Event()

        def call() -> str:
            self.begun[name].set()
            assert self.may_end[name].wait(SECONDS)
            return name

        return turns.submit(host, call)

    def wait(self, name: str) -> None:
        assert self.begun[name].wait(SECONDS), name

    def end(self, *names: str) -> None:
        for name in names:
            self.may_end[name].set()


@pytest.fixture
def calls() -> Calls:
    return Calls()


def test_a_slow_host_does_not_take_all_threads(calls: Calls) -> None:
    turns: PerHostExecutor[str] = PerHostExecutor(3, 2)
    slow = [calls.submit(turns, "slow.example", f"slow {number}") for number in range(50)]
    quick = calls.submit(turns, "quick.example", "quick")
    calls.wait("slow 0")
    calls.wait("slow 1")
    calls.end("quick")
    assert quick.result(SECONDS) == "quick"
    assert not calls.begun["slow 2"].is_set()
    calls.end("slow 1")
    calls.wait("slow 2")
    assert not calls.begun["slow 3"].is_set()
    calls.end(*calls.may_end)
    assert [it.result(SECONDS) for it in slow] == [f"slow {number}" for number in range(50)]


def test_what_has_no_host_has_no_bound_of_its_own(calls: Calls) -> None:
    turns: PerHostExecutor[str] = PerHostExecutor(4, 1)
    for name in "abcd":
        calls.submit(turns, "", name)
    for name in "abcd":
        calls.wait(name)
    calls.end(*"abcd")


def test_no_more_run_than_there_are_threads(calls: Calls) -> None:
    turns: PerHostExecutor[str] = PerHostExecutor(2, 2)
    for name in "abc":
        calls.submit(turns, name, name)
    calls.wait("a")
    calls.wait("b")
    assert not calls.begun["c"].is_set()
    calls.end("a")
    calls.wait("c")
    calls.end("b", "c")


def test_a_call_that_raises_gives_its_turn_back() -> None:
    turns: PerHostExecutor[int] = PerHostExecutor(1, 1)
    first = turns.submit("a", lambda: 1 // 0)
    second = turns.submit("a", lambda: 2)
    assert second.result(SECONDS) == 2
    assert isinstance(first.exception(SECONDS), ZeroDivisionError)


def test_what_was_cancelled_does_not_begin_and_holds_nobody_up(calls: Calls) -> None:
    turns: PerHostExecutor[str] = PerHostExecutor(1, 1)
    calls.submit(turns, "a", "first")
    second, third = calls.submit(turns, "a", "second"), calls.submit(turns, "a", "third")
    calls.wait("first")
    assert second.cancel()
    calls.end("first", "third")
    assert third.result(SECONDS) == "third"
    assert not calls.begun["second"].is_set()


def test_nothing_is_kept_of_a_host_that_is_done_with() -> None:
    turns: PerHostExecutor[int] = PerHostExecutor(4, 1)
    wait([turns.submit(f"{number % 50}.example", lambda: 1) for number in range(200)], SECONDS)
    turns._pool.shutdown()
    assert not turns._running
    assert not turns._waiting
