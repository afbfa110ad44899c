"""Per-thread CPU time and waits for the GIL, from `/proc`.

The files are read without releasing the GIL, since a release would change what is measured. If the system reports
less, the values are unknown.
"""

import ctypes
import os
import threading
import time
from contextlib import suppress
from typing import Final, NamedTuple

_FUTEX: Final = b"202"
"""Number of the `futex` system call on x86-64."""
_FUTEX_OF_ARM: Final = b"98"
"""The same on arm64."""
_NEAR: Final = 256
"""Bytes: the words that the GIL waits on lie close together."""
_TRIES: Final = 300
_BYTES: Final = 255


class ThreadTimes(NamedTuple):
    """Times of a thread since it began, in seconds."""

    processor: float
    queued: float
    """Time in the run queue: runnable, but no CPU was free."""


class ThreadClock:
    """Clock of one thread; its owner must close it.

    Args:
        number: The system's id of the thread.
    """

    def __init__(self, number: int) -> None:
        self._times = _opened(number, "schedstat")
        self._call = _opened(number, "syscall")
        self._buffer = ctypes.create_string_buffer(_BYTES + 1)
        begun = self.times()
        self._before = begun.processor if begun else 0.0

    def times(self) -> ThreadTimes | None:
        """Return the thread's times; None if the system does not report them, or the thread has ended."""
        words = self._read(self._times).split()
        with suppress(ValueError, IndexError):
            return ThreadTimes(int(words[0]) / 1e9, int(words[1]) / 1e9)
        return None

    def processor_since(self) -> float:
        """Return the CPU seconds that the thread used since the last call, or since the clock was made."""
        times = self.times()
        if times is None:
            return 0.0
        before, self._before = self._before, times.processor
        return max(0.0, times.processor - before)

    def waits_on(self) -> int | None:
        """Return the address of the futex that the thread waits on; None if it does not wait on one."""
        words = self._read(self._call).split()
        if len(words) < 2 or words[0] not in {_FUTEX, _FUTEX_OF_ARM}:
            return None
        with suppress(ValueError):
            return int(words[1], 16)
        return None

    def close(self) -> None:
        """Close the open files."""
        for it in (self._times, self._call):
            if it is not None:
                os.close(it)

    def _read(self, file: int | None) -> bytes:
        if file is None:
            return b""
        count = _LIBRARY.pread(file, self._buffer, _BYTES, 0)
        return self._buffer.raw[: max(count, 0)]


class InterpreterLock:
    """Finds the futexes of the GIL by making a thread wait for it, for a few milliseconds."""

    def __init__(self) -> None:
        self._words: set[int] = set()
        is_over = False

        def spin() -> None:
            while not is_over:
                pass

        spinning = threading.Thread(target=spin, name="lock", daemon=True)
        spinning.start()
        clock = ThreadClock(spinning.native_id or 0)
        for _ in range(_TRIES):
            time.sleep(0.0002)  # the other thread runs; once this one continues, the other waits
            word = clock.waits_on()
            if word is not None:
                self._words.add(word)
            if len(self._words) >= 2:
                break
        is_over = True
        spinning.join()
        clock.close()

    @property
    def is_known(self) -> bool:
        """Check whether the futexes of the GIL were found."""
        return bool(self._words)

    def has(self, word: int | None) -> bool:
        """Check whether a thread that waits on this futex waits for the GIL."""
        return word is not None and any(abs(word - it) <= _NEAR for it in self._words)


_LIBRARY: Final = ctypes.PyDLL(None)  # unlike CDLL, it keeps the GIL


def _opened(number: int, name: str) -> int | None:
    with suppress(OSError):
        return os.open(f"/proc/self/task/{number}/{name}", os.O_RDONLY)
    return None
