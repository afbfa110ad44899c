"""Locks: held by one process at a time, refused or waited for, handed on to children."""

import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import pytest

from core.errors import WorldError
from core.locks import locked


@pytest.fixture(params=["a folder", "a file", "a file that is not there"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "a folder":
        return tmp_path
    if request.param == "a file":
        (tmp_path / "lock").write_bytes(b"kept")
    return tmp_path / "lock"


def test_a_second_one_is_refused_at_once(path: Path) -> None:
    with locked(path):
        begin = time.monotonic()
        with pytest.raises(WorldError, match="taken: come back"), locked(path, wait=0, busy="taken: come back"):
            pytest.fail("it was locked")
        assert time.monotonic() - begin < 0.1
    with locked(path, wait=0):
        pass


def test_without_a_text_of_its_own_the_error_names_the_path(path: Path) -> None:
    with locked(path), pytest.raises(WorldError, match=f"{path} is in use.*wait"), locked(path, wait=0):
        pytest.fail("it was locked")


@pytest.mark.parametrize("wait", [9.0, float("inf")])
def test_a_second_one_waits(path: Path, wait: float) -> None:
    order = []

    def second() -> None:
        with locked(path, wait=wait):
            order.append("second")

    with locked(path):
        thread = Thread(target=second)
        thread.start()
        time.sleep(0.15)
        order.append("first")
    thread.join(9)
    assert order == ["first", "second"]


def test_who_waits_for_a_file_that_is_removed_has_the_one_that_is_there_then(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held = []

    def second() -> None:
        with locked(path, wait=9):
            held.append(path.exists())

    with locked(path):
        thread = Thread(target=second)
        thread.start()
        time.sleep(0.15)
        path.unlink()
    thread.join(9)
    assert held == [True]


def test_an_error_within_is_not_taken_for_a_lock(path: Path) -> None:
    with pytest.raises(BlockingIOError), locked(path, wait=0):
        raise BlockingIOError


def test_what_a_file_holds_stays(tmp_path: Path) -> None:
    (tmp_path / "lock").write_bytes(b"kept")
    with locked(tmp_path / "lock"):
        assert (tmp_path / "lock").read_bytes() == b"kept"


def test_a_child_that_inherits_the_lock_keeps_it(path: Path) -> None:
    with locked(path) as descriptor:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[descriptor])
    with child:
        with pytest.raises(WorldError), locked(path, wait=0):
            pytest.fail("it was locked")
        child.communicate(b"\n")
    with locked(path, wait=0):
        pass
