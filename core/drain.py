"""Stopping without loss: a signal lets sources end, and what is in the flow is finished and snapshotted.

Bytewax itself dies at once of SIGTERM and Ctrl-C, with neither a snapshot nor a close.

A process that waits for others of its flow is inside Bytewax, where Python's handlers do not run: a thread of our own
hears of signals too, and ends a process that has nothing to finish.
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
"""A flow that has not begun so long after a signal will not, or need not."""
_asked = threading.Event()
_heard: Final[list[socket.socket]] = []
_before_end: Final[list[Callable[[], None]]] = []
_alone: Final[list[float]] = []
_TICK: Final = 0.1


def is_asked() -> bool:
    """Whether the flow has been asked to stop."""
    return _asked.is_set()


def ask() -> None:
    """Let sources end at their next turn."""
    _asked.set()


def forget() -> None:
    """Take the asking back: for tests that run several flows in one process."""
    _asked.clear()


def on_signals() -> None:
    """Drain on SIGTERM and SIGINT; a second signal stops at once. Only the main thread can ask for that.

    Where the flow does not begin soon after, since it waits for processes that may never come, this one ends with
    code 0.

    Whoever started the process may have begun it with these signals blocked, so that none comes too early.
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
    """Call this before a signal ends a process that waits for others of its flow."""
    _before_end.append(call)


def end_alone_after(seconds: float) -> None:
    """End a process that was asked to stop so many seconds after it has read to its end, though others read on.

    For one of several processes that nobody watches over, as a pod that is moved: the others were not asked, and never
    end by themselves. They end as this one does, and all go on from the last snapshot.
    """
    _alone[:] = [seconds]


def _hear() -> None:
    while told := _heard[1].recv(16):
        if set(SIGNALS).isdisjoint(told):
            continue
        if not ACTIVITY.begun.wait(_BEGIN_SECONDS):
            _end("asked to stop before the flow began: nothing was read")
        if _alone:
            while ACTIVITY.has_open_parts:
                time.sleep(_TICK)
            time.sleep(_alone[0])
            _end("asked to stop, and other processes of the flow read on: they end too, and go on when all are there")


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
