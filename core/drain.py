"""Stopping without loss: a signal lets sources end, and what is in the flow is finished and snapshotted.

Bytewax itself dies at once of SIGTERM and Ctrl-C, with neither a snapshot nor a close.
"""

import signal
import threading
from types import FrameType
from typing import Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_asked = threading.Event()


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

    Whoever started the process may have begun it with these signals blocked, so that none comes too early.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in SIGNALS:
        signal.signal(number, _handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _handle(number: int, _frame: FrameType | None) -> None:
    if _asked.is_set():
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
    _asked.set()
