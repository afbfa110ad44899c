"""Runs a flow in one or more processes, watches them, and says in one line what went wrong."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any, Final

import orjson
from bytewax.recovery import init_db_dir

from memewax.commands.counts import Counts, read_counts
from memewax.errors import MemewaxError, WorldError
from memewax.settings import PREFIX

RECOVERY_PARTS: Final = 4
_TICK: Final = 0.25
_TAIL: Final = 60
"""Lines of a process's stderr that are kept for the case that nobody explains its end."""


class FlowError(MemewaxError):
    """A process of the flow ended badly; it has said why."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]


@dataclass(frozen=True, slots=True)
class Job:
    """A flow to be run."""

    flow: str
    settings: Mapping[str, Any]
    """What differs from variables and file, by name."""
    recovery: Path
    snapshot_seconds: float
    processes: int = 1


@dataclass(frozen=True, slots=True)
class Ended:
    """A flow that has ended, at its end or drained."""

    counts: Counts
    seconds: float


def is_prepared(folder: Path) -> bool:
    """Whether it is a recovery folder already, which a flow would go on from."""
    return any(folder.glob("part-*.sqlite3"))


def prepare_recovery(folder: Path) -> None:
    """Initialise a recovery folder where it is none yet."""
    if is_prepared(folder):
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        init_db_dir(folder, RECOVERY_PARTS)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise WorldError(f"{folder}: {error.strerror}") from None


def run_job(job: Job, show: Callable[[Counts], None], tell: Callable[[str], None]) -> Ended:
    """Run a job to its end; SIGTERM and Ctrl-C are passed on and drain it.

    Args:
        job: What to run.
        show: Called a few times a second with what was counted so far.
        tell: Called with each line that a process logs.

    Raises:
        FlowError: where a process ended badly; the others are ended too.
    """
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="memewax-") as folder:
        metrics = Path(folder)
        processes = _start(job, metrics, tell)
        with _passing_signals_on(processes):
            while any(process.is_running() for process in processes):
                time.sleep(_TICK)
                show(read_counts(metrics))
                if any(process.has_failed() for process in processes):
                    _stop(processes)
        counts = read_counts(metrics)
    failed = [process for process in processes if process.has_failed()]
    if failed:
        raise _explained(failed)
    return Ended(counts, time.monotonic() - start)


class _Process:
    """A worker process and the last of what it said."""

    def __init__(self, command: list[str], environment: Mapping[str, str], tell: Callable[[str], None]) -> None:
        self.said: deque[str] = deque(maxlen=_TAIL)
        self.reasons: list[str] = []
        self.failed_at: float | None = None
        self._tell = tell
        self._popen = subprocess.Popen(
            command, env=environment, stdout=sys.stderr, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self._popen.stderr is not None
        self._listener = threading.Thread(target=self._listen, args=(self._popen.stderr,), daemon=True)
        self._listener.start()

    def is_running(self) -> bool:
        return self._popen.poll() is None

    def has_failed(self) -> bool:
        if self._popen.poll() in {None, 0}:
            return False
        self.failed_at = self.failed_at or time.monotonic()
        return True

    def send(self, number: int) -> None:
        if self.is_running():
            self._popen.send_signal(number)

    def stop(self) -> None:
        self._popen.terminate()
        try:
            self._popen.wait(5)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    def code(self) -> int:
        self._listener.join(5)
        return int(self._popen.returncode)

    def _listen(self, lines: IO[str]) -> None:
        for line in lines:
            text = line.rstrip("\n")
            if text.startswith("memewax: "):
                self.reasons.append(text.removeprefix("memewax: "))
            elif text.startswith("{"):
                self._tell(_readable(text))
            else:
                self.said.append(text)


def _start(job: Job, metrics: Path, tell: Callable[[str], None]) -> list[_Process]:
    settings = {f"{PREFIX}{name.upper()}": _text(value) for name, value in job.settings.items()}
    environment = {
        **os.environ,
        **settings,
        f"{PREFIX}PROCESSES": str(job.processes),
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        "RUST_BACKTRACE": "0",
    }
    worker = [sys.executable, "-m", "memewax.commands.worker", job.flow, str(job.recovery), str(job.snapshot_seconds)]
    if job.processes == 1:
        return [_Process(worker, environment, tell)]
    addresses = _free_addresses(job.processes)
    return [_Process([*worker, str(index), *addresses], environment, tell) for index in range(job.processes)]


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return orjson.dumps(value).decode() if isinstance(value, dict | bool) else str(value)


def _free_addresses(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{it.getsockname()[1]}" for it in sockets]
    for it in sockets:
        it.close()
    return addresses


@contextmanager
def _passing_signals_on(processes: list[_Process]) -> Iterator[None]:
    """While a flow runs, SIGTERM and SIGINT go to its processes, which drain."""

    def pass_on(number: int, _frame: FrameType | None) -> None:
        for process in processes:
            process.send(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(processes: list[_Process]) -> None:
    for process in processes:
        process.stop()


def _explained(failed: list[_Process]) -> FlowError:
    """Why the flow ended: the reason of the process that ended first, rather than of those that missed it."""
    first = min(failed, key=lambda process: process.failed_at or 0)
    for process in [first, *failed]:
        if process.code() >= 0 and len(process.reasons) > 0 and "another process" not in process.reasons[-1]:
            return FlowError(process.reasons[-1], process.code())
    for process in failed:
        if process.code() < 0:
            name = signal.Signals(-process.code()).name
            return FlowError(f"a process of the flow was ended by {name}; run the same command again to go on", 1)
    said = "\n".join(first.said)
    return FlowError(f"a process of the flow ended with code {first.code()}:\n{said}", 1)


def _readable(line: str) -> str:
    """A structured log line as people read it."""
    try:
        fields = orjson.loads(line)
        level, event = fields.pop("level"), fields.pop("event")
    except (orjson.JSONDecodeError, KeyError, AttributeError):
        return line
    fields.pop("timestamp", None)
    return " ".join([f"{level}:", str(event), *(f"{name}={value}" for name, value in fields.items())])
