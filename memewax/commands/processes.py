"""The worker processes of a flow: start them, forward signals and logs, and leave none behind."""

import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import IO, Any, Final, Self

import orjson

from core.drain import SIGNALS
from core.telemetry import BAD_RECORD

_TAIL: Final = 60
"""Lines of a process's output that are kept, in case it ends without giving a reason."""
PEER_GONE: Final = "another process of the flow is gone; start the flow again to resume it"
"""Reason logged by a process that ends because another one did."""
_STOP_SECONDS: Final = 5.0

OnLogLine = Callable[[str], None]
"""Called with each line that a process logs."""


class Process:
    """A worker process and the tail of its output."""

    def __init__(
        self, command: list[str], environment: Mapping[str, str], locks: Sequence[int], on_log_line: OnLogLine
    ) -> None:
        self.tail: deque[str] = deque(maxlen=_TAIL)
        self.reasons: list[str] = []
        self.failed_at: float | None = None
        self._on_log_line = on_log_line
        self._popen = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,  # end of file here tells the process that its parent is gone
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            pass_fds=locks,
        )
        assert self._popen.stdout is not None
        self._listener = threading.Thread(target=self._listen, args=(self._popen.stdout,), daemon=True)
        self._listener.start()

    def is_running(self) -> bool:
        """Check whether the process is still running."""
        return self._popen.poll() is None

    def has_failed(self) -> bool:
        """Check whether the process has failed; remember when this was first seen."""
        if self._popen.poll() in {None, 0}:
            return False
        self.failed_at = self.failed_at or time.monotonic()
        return True

    def send(self, number: int) -> None:
        """Send a signal if the process is running."""
        if self.is_running():
            self._popen.send_signal(number)

    def wait(self, seconds: float) -> None:
        """Wait for the process to end, and kill it after `seconds`."""
        try:
            self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        if self._popen.stdin is not None:
            self._popen.stdin.close()

    def code(self) -> int:
        """Return the exit code once all output is read; -N if signal N killed the process."""
        self._listener.join(5)
        return int(self._popen.returncode)

    def lost_peer(self) -> bool:
        """Check whether the process ended because another one did."""
        return self.code() > 0 and self.reasons[-1:] == [PEER_GONE]

    def _listen(self, lines: IO[str]) -> None:
        with lines:
            for line in lines:
                text = line.rstrip("\n")
                if text.startswith("memewax: "):
                    self.reasons.append(text.removeprefix("memewax: "))
                elif text.startswith("{"):
                    self._note(text)
                else:
                    self.tail.append(text)

    def _note(self, line: str) -> None:
        """Forward a line of the log: unchanged if stderr is not a terminal, else readable."""
        try:
            fields = orjson.loads(line)
            level, event = fields.pop("level"), fields.pop("event")
        except (orjson.JSONDecodeError, KeyError, AttributeError):
            self.tail.append(line)
            return
        self.tail.extend(str(fields.get("exception", "")).splitlines())
        if not sys.stderr.isatty():
            self._on_log_line(line)
        elif event != BAD_RECORD:  # the summary at the end of the run counts and explains these
            self._on_log_line(_in_words(level, event, fields))


class Processes:
    """Context manager of a flow's processes; ends them all on exit."""

    def __init__(self) -> None:
        self._all: list[Process] = []
        self._sent: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(
        self, command: list[str], environment: Mapping[str, str], locks: Sequence[int], on_log_line: OnLogLine
    ) -> None:
        """Start a process that inherits the locks; signals are blocked in it until it can handle them."""
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self._all.append(Process(command, environment, locks, on_log_line))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number in self._sent:
            self._all[-1].send(number)

    def are_running(self) -> bool:
        """Check whether any process is still running."""
        return any(process.is_running() for process in self._all)

    def failed(self) -> list[Process]:
        """Return the processes that failed, in the order of failing."""
        return sorted((it for it in self._all if it.has_failed()), key=lambda it: it.failed_at or 0.0)

    def send(self, number: int) -> None:
        """Send a signal to all running processes, and to those started later."""
        self._sent.append(number)
        for process in self._all:
            process.send(number)

    def were_signalled(self) -> bool:
        """Check whether any signal was sent."""
        return bool(self._sent)

    def stop(self) -> None:
        """Terminate the processes that still run, and kill those that do not end in time."""
        self.send(signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        for process in self._all:
            process.wait(max(0.0, deadline - time.monotonic()))


class Signals:
    """Context manager that forwards SIGTERM and SIGINT to the processes of a flow, which drain."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        def pass_on(number: int, _frame: FrameType | None) -> None:
            self._processes.send(number)

        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, pass_on) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)


def _in_words(level: str, event: str, fields: dict[str, Any]) -> str:
    """Format a line of the log for people."""
    shown = {name: value for name, value in fields.items() if name not in {"timestamp", "worker"}}
    return " ".join([f"{level}:", str(event), *(f"{name}={value}" for name, value in shown.items())])
