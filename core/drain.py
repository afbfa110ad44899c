"""Graceful shutdown: a signal ends the sources; what is in the flow is finished and snapshotted.

Bytewax itself exits at once on SIGTERM and Ctrl-C, without a snapshot and without closing anything.

While a process waits for the others of its flow, it is inside Bytewax, where Python's signal handlers do not run. So a
thread of ours also receives signals, and ends a process that has nothing to finish.
"""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

from core.activity import ACTIVITY

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_BEGIN_SECONDS: Final = 2.0
"""A flow that has not begun this long after a signal will not begin, or need not."""
_asked = threading.Event()
_heard: Final[list[socket.socket]] = []
_before_end: Final[list[Callable[[], None]]] = []
_alone: Final[list[float]] = []
_TICK: Final = 0.1


def is_stop_requested() -> bool:
    """Check whether the flow was asked to stop."""
    return _asked.is_set()


def request_stop() -> None:
    """Ask the flow to stop: its sources end at their next poll."""
    _asked.set()


def reset() -> None:
    """Reset the request to stop, for tests that run several flows in one process."""
    _asked.clear()


def on_signals() -> None:
    """Drain on SIGTERM and SIGINT; a second signal stops at once. Does nothing outside the main thread.

    If the flow does not begin soon after the signal, because it waits for processes that may never come, the process
    exits with code 0.

    Unblocks both signals: the parent may have started this process with them blocked, so that none arrives too early.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    if not _heard:
        _heard.extend(socket.socketpair())
        _heard[0].setblocking(False)
        signal.set_wakeup_fd(_heard[0].fileno(), warn_on_full_buffer=False)
        threading.Thread(target=_hear, name="signals", daemon=True).start()
    for number in SIGNALS:
        signal.signal(number, _handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def before_end(call: Callable[[], None]) -> None:
    """Register a function to call before a signal ends a process that waits for the others of its flow."""
    _before_end.append(call)


def end_alone_after(seconds: float) -> None:
    """End a process that was asked to stop this many seconds after its sources ended, even if others read on.

    For one of several unsupervised processes, such as a pod that is moved: the others were not asked to stop, and would
    never end by themselves. They end when this one does, and all resume from the last snapshot.
    """
    _alone[:] = [seconds]


def _hear() -> None:
    while received := _heard[1].recv(16):
        if set(SIGNALS).isdisjoint(received):
            continue
        if not ACTIVITY.begun.wait(_BEGIN_SECONDS):
            _end("asked to stop before the flow began: nothing was read")
        if _alone:
            while ACTIVITY.has_open_parts:
                time.sleep(_TICK)
            time.sleep(_alone[0])
            _end("asked to stop while other processes read on: they end too, and all resume once they are started")


def _end(why: str) -> None:
    for call in _before_end:
        call()
    print(f"memewax: {why}", file=sys.stderr, flush=True)
    os._exit(0)


def _handle(number: int, _frame: FrameType | None) -> None:
    if _asked.is_set():
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
    _asked.set()
