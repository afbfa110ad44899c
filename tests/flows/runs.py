"""One flow in a folder of its own: started as processes, killed, drained, and its outputs read."""

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson
import psutil

from connectors.store.posts_table import PostStore
from core.counts import RunCounts, read_counts
from core.settings import as_variable
from memewax.commands.recovery import prepare_recovery
from tests.factories import GRID
from tests.flows.cli import PIXELS
from tests.flows.pixels_flow import SECONDS
from tests.folders import ROOT

PATIENCE: Final = 90.0
"""Seconds after which a process that should have ended hangs."""
Row = dict[str, Any]


@dataclass(slots=True)
class Running:
    """A process of a flow, or the command that watches over several."""

    process: subprocess.Popen[str]
    metrics: Path
    started: datetime
    summary: dict[str, Any] = field(default_factory=dict)
    """What `memewax run --json` said at its end."""

    def until(self, reached: Callable[[], bool], pause: float = 0.002) -> None:
        """Wait for something, a moment at a time, while the process runs."""
        deadline = time.monotonic() + PATIENCE
        while not reached():
            if self.process.poll() is not None and not reached():
                raise AssertionError(f"it has ended: {self.result()}")
            assert time.monotonic() < deadline, "it does not get there"
            time.sleep(pause)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

    def end(self) -> str:
        """Wait for a good end; what it said on stderr."""
        code, said = self.result()
        assert code == 0, f"exit {code}: {said[-3000:]}"
        return said

    def drain(self, number: int = signal.SIGTERM) -> str:
        self.process.send_signal(number)
        return self.end()

    def result(self) -> tuple[int, str]:
        try:
            out, said = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        # A process that starts before another one of its flow says so on its stdout.
        self.summary = orjson.loads(out) if out.startswith("{") else {}
        return self.process.returncode, said

    def workers(self) -> list[psutil.Process]:
        """The processes that the command has started."""
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.process.pid).children()
            return [child for child in children if "memewax.commands.worker" in child.cmdline()]
        return []

    def counts(self) -> RunCounts:
        """What a worker counted that was started without a command above it."""
        return read_counts(self.metrics)


def in_words(said: str) -> list[str]:
    """What was said on stderr besides lines of the log, and of progress, of which there is one each half minute."""
    return [line for line in said.splitlines() if not line.startswith("{") and " a second · " not in line]


def logged(said: str) -> list[dict[str, Any]]:
    """The lines of the log in what was said on stderr."""
    return [orjson.loads(line) for line in said.splitlines() if line.startswith("{")]


class Flow:
    """A flow of pixels with its outputs below one folder."""

    def __init__(
        self, folder: Path, source: Path | str, *, seconds: float = 0.0, to_store: bool = False, **settings: Any
    ) -> None:
        """A file is written, and a store where it matters: it makes a process start a second later.

        Args:
            folder: Where all that the flow writes lies.
            source: What it reads.
            seconds: What each image takes.
            to_store: Whether to write a store too.
            settings: Of memewax.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.out, self.store = folder / "out.jsonl", folder / "store"
        self.dead, self.recovery = folder / "dead.jsonl", folder / "recovery"
        self.settings: dict[str, Any] = {
            "source": str(source),
            "to": as_variable([str(self.out), str(self.store)] if to_store else [str(self.out)]),
            "dead_letters": str(self.dead),
            "recovery": str(self.recovery),
            "follow": "false",
            "file_block_bytes": 512,
            "read_batch": 4,
            "threads": 1,
            "retry_wait_seconds": 0,
            **settings,
        }
        self.seconds = seconds
        self._runs = 0

    def environment(self) -> dict[str, str]:
        own = {f"MEMEWAX_{name.upper()}": str(value) for name, value in self.settings.items()}
        return {**os.environ, **own, SECONDS: str(self.seconds), "RUST_BACKTRACE": "0"}

    def worker(self, snapshot_seconds: float = 0.2) -> Running:
        """One worker process, without the command above it."""
        prepare_recovery(self.recovery)
        return self._start(["memewax.commands.worker", PIXELS, str(self.recovery), str(snapshot_seconds)])

    def bytewax(self, *arguments: str) -> Running:
        """As Bytewax's own command runs it."""
        prepare_recovery(self.recovery)
        return self._start(["bytewax.run", PIXELS, "-r", str(self.recovery), "-b", "0", *arguments])

    def memewax(self, processes: int = 1, snapshot_seconds: float = 0.2) -> Running:
        """`memewax run --json`, with workers below it."""
        options = ["--processes", str(processes), "--snapshot-interval", str(snapshot_seconds)]
        return self._start(["tests.flows.cli", "run", "--json", "--recovery", str(self.recovery), *options])

    def _start(self, arguments: list[str]) -> Running:
        self._runs += 1
        metrics = self.folder / f"metrics-{self._runs}"
        metrics.mkdir()
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env={**self.environment(), "PROMETHEUS_MULTIPROC_DIR": str(metrics)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return Running(process, metrics, datetime.now(UTC))

    def lines(self) -> int:
        """Whole lines in the output just now."""
        return self.out.read_bytes().count(b"\n") if self.out.exists() else 0

    def frontier(self) -> int:
        """Grows with each epoch of which a snapshot was taken."""
        return sum(_frontier(path) for path in self.recovery.glob("part-*.sqlite3"))

    def rows(self) -> dict[str, Row]:
        """Records of the file by id, deletes left out; it holds whole lines, and no id twice."""
        told = (orjson.loads(line) for line in whole_lines(self.out))
        return unique(it for it in told if "deleted" not in it and "hidden" not in it)

    def stored(self) -> dict[str, Row]:
        """Records of the store by id; it holds no id twice."""
        return unique(PostStore(self.store, GRID * GRID * 3, 8).rows())

    def dead_letters(self) -> list[bytes]:
        """The original messages of the dead letters, but for those that were forgotten."""
        told = [orjson.loads(line) for line in whole_lines(self.dead)]
        return [b64decode(it["value"]) for it in told if "value" in it]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_for(flow: Flow, run: Running, lines: int) -> None:
    """Until the output has so many lines, or the run has ended."""
    run.until(lambda: flow.lines() >= lines or run.process.poll() is not None)


def _frontier(path: Path) -> int:
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        found = database.execute("SELECT max(worker_frontier) FROM fronts").fetchone()[0]
        return int(found or 0)
    return 0


def whole_lines(path: Path) -> list[bytes]:
    data = path.read_bytes()
    assert not data or data.endswith(b"\n"), "the last line is torn"
    return data.splitlines()


def unique(rows: Any) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for row in rows:
        assert row["global_id"] not in found, f"{row['global_id']} is there twice"
        found[row["global_id"]] = row
    return found
