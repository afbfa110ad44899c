"""What was decoded when a process ended is told from what was not."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import orjson
import pytest

from connectors.fetching import deaths
from connectors.fetching.deaths import Deaths, forget_what_is_decoded
from connectors.fetching.outcomes import FetchError
from core.errors import WorldError


class Process:
    """One that dies amid the pictures that it begins."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(deaths, "_open", [])
        self.deaths = Deaths(folder)
        self.begun: list[AbstractContextManager[bool]] = []

    def begins(self, data: bytes, alone: Callable[[], AbstractContextManager[object]] = nullcontext) -> bool:
        self.begun.append(self.deaths.noted(data, alone))
        return self.begun[-1].__enter__()

    def dies(self) -> None:
        for descriptor in deaths._open:
            os.close(descriptor)


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Process]:
    processes: list[Process] = []  # kept, since what is collected ends its blocks

    def started() -> Process:
        processes.append(Process(tmp_path / "decoding", monkeypatch))
        return processes[-1]

    return started


def test_who_was_decoded_is_alone_next_and_given_up_after_three_deaths(start: Callable[[], Process]) -> None:
    for death in range(3):
        process = start()
        assert process.begins(b"culprit") is (death > 0)
        with process.deaths.noted(b"done before", nullcontext) as is_alone:
            assert not is_alone
        process.dies()
    with pytest.raises(
        FetchError, match=r"it ended the process 3 times; delete .*suspects\.json to have it tried again"
    ):
        start().begins(b"culprit")
    assert not start().begins(b"done before")


def test_who_is_decoded_after_all_is_forgotten(start: Callable[[], Process], tmp_path: Path) -> None:
    first = start()
    assert not first.begins(b"culprit")
    assert not first.begins(b"neighbour")
    first.dies()
    second = start()
    with second.deaths.noted(b"neighbour", nullcontext) as is_alone:
        assert is_alone
    assert list(orjson.loads((tmp_path / "decoding/suspects.json").read_bytes()).values()) == [1]
    assert not second.begins(b"neighbour")


def test_neither_a_living_process_nor_one_that_ends_on_purpose_blames_anybody(
    start: Callable[[], Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    living = start()
    assert not living.begins(b"a")
    assert not start().begins(b"a")
    ending = start()
    assert not ending.begins(b"b")
    forget_what_is_decoded()
    ending.dies()
    assert not start().begins(b"b")


def test_a_file_that_tells_nothing_is_said(start: Callable[[], Process], tmp_path: Path) -> None:
    start()
    (tmp_path / "decoding/suspects.json").write_text("[[]]")
    with pytest.raises(WorldError, match="does not say at which pictures"):
        start()
