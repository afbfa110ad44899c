"""`memewax page` as it is typed: it says where it is, streams what is new, and ends when it is told to."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.commands.typed import Memewax
from tests.folders import ROOT

_PATIENT = 60.0
"""Seconds: the machine may be busy."""


@contextmanager
def running(*words: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The page in a process of its own, and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "memewax", "page", "--port", "0", "--no-open", *words],
        cwd=ROOT,
        env={**os.environ, "MEMEWAX_MODELS": "fake"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"is shown at (http://127\.0\.0\.1:\d+/) \(Ctrl-C stops it\)", line)
        assert found, line
        yield found[1], process
    finally:
        process.kill()
        process.wait()


def test_it_shows_a_store_streams_what_is_new_and_ends(store: Path) -> None:
    with running("--store", str(store)) as (address, process):
        for path in ("healthz", "api/v1/stats", ""):
            assert httpx.get(f"{address}{path}", timeout=_PATIENT).status_code == 200
        with httpx.stream("GET", f"{address}events", timeout=_PATIENT) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            events = iter(answer.iter_lines())
            assert "event: figures" in events
            assert "event: images" in events
            process.send_signal(signal.SIGINT)  # though somebody still looks
            assert process.wait(timeout=60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--store", "nowhere"), 3, "store nowhere does not exist: `memewax run --to nowhere` creates it"),
        (("--store", ".", "--host", "0.0.0.0"), 2, "give a token with --token-file FILE"),
        (("--store", ".", "--token-file", "nowhere"), 3, "nowhere: No such file or directory"),
        (("--store", ".", "--host", "256.0.0.1"), 2, "give a token"),
    ],
)
def test_what_cannot_be_served_is_said_in_a_line(
    memewax: Memewax, words: tuple[str, ...], code: int, told: str
) -> None:
    done = memewax("page", "--no-open", *words)
    assert (done.code, done.out) == (code, "")
    assert told in done.err
    assert len(done.err.splitlines()) == 1
