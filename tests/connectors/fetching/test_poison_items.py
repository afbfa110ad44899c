"""What was worked on when a process ended is told from what was not."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Event

import orjson
import pytest

from connectors.fetching import poison_items
from connectors.fetching.poison_items import PoisonError, PoisonMarks, clear_own_slots, key_of
from core.errors import WorldError


class Process:
    """One that dies amid what it begins."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(poison_items, "_open", [])
        self.deaths = PoisonMarks(folder)
        self.begun: list[AbstractContextManager[None]] = []

    def begins(self, *keys: bytes) -> None:
        self.begun.append(self.deaths.in_progress([key_of(key) for key in keys]))
        self.begun[-1].__enter__()

    def suspects(self, *keys: bytes) -> set[bytes]:
        return {key for key in keys if self.deaths.is_suspect(key_of(key))}

    def dies(self) -> None:
        for descriptor in poison_items._open:
            os.close(descriptor)


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Process]:
    processes: list[Process] = []  # kept, since what is collected ends its blocks

    def started() -> Process:
        processes.append(Process(tmp_path / "decoding", monkeypatch))
        return processes[-1]

    return started


def test_who_was_worked_on_is_a_suspect_and_given_up_after_three_deaths(start: Callable[[], Process]) -> None:
    for death in range(3):
        process = start()
        with process.deaths.in_progress([key_of(b"done before")]):
            pass
        assert process.suspects(b"culprit", b"done before") == ({b"culprit"} if death else set())
        process.begins(b"culprit")
        process.dies()
    with pytest.raises(PoisonError, match=r"it crashed the process 3 times; delete .*suspects\.json to try it again"):
        start().begins(b"culprit")


def test_who_is_done_after_all_is_forgotten(start: Callable[[], Process], tmp_path: Path) -> None:
    first = start()
    first.begins(b"one of many", b"another")
    first.begins(b"culprit")
    first.dies()
    second = start()
    assert second.suspects(b"one of many", b"another", b"culprit") == {b"one of many", b"another", b"culprit"}
    for key in (b"one of many", b"another"):
        with second.deaths.in_progress([key_of(key)]):
            pass
    assert list(orjson.loads((tmp_path / "decoding/suspects.json").read_bytes()).values()) == [1]
    assert second.suspects(b"one of many", b"another", b"culprit") == {b"culprit"}


def test_a_suspect_waits_for_all_others(start: Callable[[], Process]) -> None:
    first = start()
    first.begins(b"culprit")
    first.dies()
    at_work = start().deaths
    order: list[bytes] = []
    begun, let_go = Event(), Event()

    def works(key: bytes) -> None:
        with at_work.in_progress([key_of(key)]):
            begun.set()
            let_go.wait(60)
            order.append(key)

    with ThreadPoolExecutor(2) as pool:
        pool.submit(works, b"neighbour")
        assert begun.wait(60)
        begun.clear()
        pool.submit(works, b"culprit")
        assert not begun.wait(0.2)
        let_go.set()
    assert order == [b"neighbour", b"culprit"]


def test_neither_a_living_process_nor_one_that_ends_on_purpose_blames_anybody(start: Callable[[], Process]) -> None:
    living = start()
    living.begins(b"a")
    assert not start().suspects(b"a")
    ending = start()
    ending.begins(b"b")
    clear_own_slots()
    ending.dies()
    assert not start().suspects(b"b")


def test_a_file_that_tells_nothing_is_said(start: Callable[[], Process], tmp_path: Path) -> None:
    start()
    (tmp_path / "decoding/suspects.json").write_text("[[]]")
    with pytest.raises(WorldError, match="is not a valid list of images"):
        start()
