"""The worker processes of a flow: started, told of signals, listened to, and none left behind."""

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
"""Lines of a process's stderr that are kept for the case that nobody explains its end."""
PEER_GONE: Final = "another process of the flow is gone; start the flow again and it goes on"
"""What a process says that ends because another one did."""
_STOP_SECONDS: Final = 5.0

Tell = Callable[[str], None]
"""Called with each line that a process logs."""


class Process:
    """A worker process and the last of what it said."""

    def __init__(self, command: list[str], environment: Mapping[str, str], locks: Sequence[int], tell: Tell) -> None:
        self.said: deque[str] = deque(maxlen=_TAIL)
        self.reasons: list[str] = []
        self.failed_at: float | None = None
        self._tell = tell
        self._popen = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,  # its end tells the process that we are gone
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
        """Whether it has not ended."""
        return self._popen.poll() is None

    def has_failed(self) -> bool:
        """Whether it has ended badly; the first time it is seen to is kept."""
        if self._popen.poll() in {None, 0}:
            return False
        self.failed_at = self.failed_at or time.monotonic()
        return True

    def send(self, number: int) -> None:
        """Send it a signal."""
        if self.is_running():
            self._popen.send_signal(number)

    def wait(self, seconds: float) -> None:
        """Wait for its end; kill it where that does not come."""
        try:
            self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        if self._popen.stdin is not None:
            self._popen.stdin.close()

    def code(self) -> int:
        """Its exit code, after all that it said; a signal's number below 0."""
        self._listener.join(5)
        return int(self._popen.returncode)

    def misses_another(self) -> bool:
        """Whether it ended because another one did."""
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
                    self.said.append(text)

    def _note(self, line: str) -> None:
        """Pass a line of the log on: as it is where programs read it, else in words."""
        try:
            fields = orjson.loads(line)
            level, event = fields.pop("level"), fields.pop("event")
        except (orjson.JSONDecodeError, KeyError, AttributeError):
            self.said.append(line)
            return
        self.said.extend(str(fields.get("exception", "")).splitlines())
        if not sys.stderr.isatty():
            self._tell(line)
        elif event != BAD_RECORD:  # a person reads how many there are, and why, when the run ends
            self._tell(_in_words(level, event, fields))


class Processes:
    """The processes of a flow; at the end of the block none is left."""

    def __init__(self) -> None:
        self._all: list[Process] = []
        self._sent: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, command: list[str], environment: Mapping[str, str], locks: Sequence[int], tell: Tell) -> None:
        """Start one more, which has the locks too; it begins with signals blocked, until it can handle them."""
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self._all.append(Process(command, environment, locks, tell))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number in self._sent:
            self._all[-1].send(number)

    def are_running(self) -> bool:
        """Whether any has not ended."""
        return any(process.is_running() for process in self._all)

    def failed(self) -> list[Process]:
        """Those that ended badly, the first one first."""
        return sorted((it for it in self._all if it.has_failed()), key=lambda it: it.failed_at or 0.0)

    def send(self, number: int) -> None:
        """Send a signal to all that run, and to those that are still to be started."""
        self._sent.append(number)
        for process in self._all:
            process.send(number)

    def were_told(self) -> bool:
        """Whether any signal was sent to them."""
        return bool(self._sent)

    def stop(self) -> None:
        """End those that still run."""
        self.send(signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        for process in self._all:
            process.wait(max(0.0, deadline - time.monotonic()))


class Signals:
    """In the block SIGTERM and SIGINT go to the processes of a flow, which drain."""

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
    """A line of the log as people read it."""
    shown = {name: value for name, value in fields.items() if name not in {"timestamp", "worker"}}
    return " ".join([f"{level}:", str(event), *(f"{name}={value}" for name, value in shown.items())])
