"""A node of Apache Cassandra for tests, where `../shared/cassandra` and Java are there: one for a whole session."""

import os
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from connectors.cassandra.cassandra_place import CassandraPlace, CassandraSettings
from connectors.cassandra.cassandra_session import CassandraSession
from core.errors import WorldError
from tests.brokers import free_ports
from tests.folders import SHARED

START = SHARED / "cassandra" / "start"
"""Apache Cassandra for tests, beside the repository; not part of it."""
_SOON_THERE = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dcassandra.skip_sync=true"
"""For a short life, as Kafka's; what is written survives a kill of the process, though not one of the machine."""


class CassandraNode:
    """A node as a process, on one port and folder for its whole life: it may be killed and started again."""

    def __init__(self, folder: Path, *lines: str, settings: Mapping[str, Any] | None = None) -> None:
        """`lines` are of its cassandra.yaml, `settings` those by which it lets clients in."""
        self._folder = folder
        self._settings = {"store_timeout_seconds": 1, **(settings or {})}
        self._lines = lines
        self.port = free_ports()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    def address(self, keyspace: str | None = None) -> str:
        """Of a keyspace on it, by default of one that nobody else uses."""
        return f"cassandra://127.0.0.1:{self.port}/{keyspace or f'memewax_{uuid.uuid4().hex[:12]}'}"

    def begin(self) -> None:
        """Start the process where it does not run; it answers some seconds later."""
        if not self.running:
            # It is tied to the thread that starts it, and would go with that.
            assert threading.current_thread() is threading.main_thread()
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / "output.log").open("ab") as output:
                tied = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []  # to the process of tests
                command = [*tied, str(START), str(self.port), str(self._folder), *self._lines]
                environment = {"JDK_JAVA_OPTIONS": _SOON_THERE, **os.environ}
                self._process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)

    def start(self, seconds: float = 200) -> None:
        """Start it where it does not run, and wait until it answers."""
        if self.running and self._answers():
            return
        self.begin()
        deadline = time.monotonic() + seconds
        while not self._answers():
            assert self.running, f"Cassandra did not start: {(self._folder / 'output.log').read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"Cassandra does not answer after {seconds} s"

    def kill(self) -> None:
        """`kill -9`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def halt(self) -> None:
        """Let it be there and answer nobody."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it answer again."""
        if self.running:
            assert self._process is not None
            self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            place = CassandraPlace.of(self.address("system"))
            CassandraSession(place, CassandraSettings(**self._settings), has_keyspace=False).close()
        except WorldError:
            return False
        return True


def cassandra_missing() -> str | None:
    """Why there is no Cassandra here, or None."""
    if not START.exists():
        return "no Apache Cassandra in ../shared/cassandra"
    return None if shutil.which("java") else "no java on the PATH"


@pytest.fixture(scope="session")
def _cassandra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CassandraNode]:
    if reason := cassandra_missing():
        pytest.skip(reason)
    node = CassandraNode(tmp_path_factory.mktemp("cassandra"))
    try:
        node.start()
        yield node
    finally:
        node.kill()  # nothing of it is needed any more


@pytest.fixture
def cassandra_node(_cassandra: CassandraNode) -> Iterator[CassandraNode]:
    """Apache Cassandra, one for all tests of a process; started again where the test before killed it."""
    _cassandra.start()
    yield _cassandra
    _cassandra.go_on()
