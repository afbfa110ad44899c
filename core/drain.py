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
from collections.abc import Callable
from types import FrameType
from typing import Final

from core.activity import ACTIVITY

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_BEGIN_SECONDS: Final = 2.0
"""A flow that has not begun so long after a signal will not, or need not."""
_asked = threading.Event()
_heard: Final[list[socket.socket]] = []
_unbegun: Final[list[Callable[[], None]]] = []


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


def when_unbegun(call: Callable[[], None]) -> None:
    """Call this before a process ends whose flow has not begun."""
    _unbegun.append(call)


def _hear() -> None:
    while told := _heard[1].recv(16):
        if not set(SIGNALS).isdisjoint(told) and not ACTIVITY.begun.wait(_BEGIN_SECONDS):
            for call in _unbegun:
                call()
            print("memewax: asked to stop before the flow began: nothing was read", file=sys.stderr, flush=True)
            os._exit(0)


def _handle(number: int, _frame: FrameType | None) -> None:
    if _asked.is_set():
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
    _asked.set()
