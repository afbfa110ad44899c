"""Memory of this process; and that of the C library, bounded in what it keeps for threads, and given back."""

import ctypes
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_LIBRARY: Final = "libc.so.6"
_ARENA_MAX: Final = -8
"""glibc's number of the parameter."""
_ARENAS: Final = 2
"""Pools that threads allocate from; by default eight a core, each of which keeps what it once had."""


def keep_little() -> None:
    """Let the C library make no more pools than a few; those that are there stay.

    Does nothing where the C library has no such call, here and in `give_back_memory`.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(_LIBRARY).mallopt(_ARENA_MAX, _ARENAS)


def give_back_memory() -> None:
    """Let the C library return what is free; it keeps hundreds of MB otherwise."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(_LIBRARY).malloc_trim(0)


def resident_bytes() -> int:
    """Memory of this process that is in use now; 0 where the system does not say."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
