"""Memory of this process, and limits on what glibc's allocator keeps."""

import ctypes
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_LIBRARY: Final = "libc.so.6"
_ARENA_MAX: Final = -8
"""glibc's number of the `M_ARENA_MAX` parameter of `mallopt`."""
_ARENAS: Final = 2
"""Arenas that threads allocate from; the default is eight a core, and each keeps the memory that it once had."""


def keep_little() -> None:
    """Limit the number of malloc arenas; existing ones stay.

    Like `give_back_memory`, does nothing if the C library has no such call.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(_LIBRARY).mallopt(_ARENA_MAX, _ARENAS)


def give_back_memory() -> None:
    """Return free memory to the system; glibc keeps hundreds of MB otherwise."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(_LIBRARY).malloc_trim(0)


def resident_bytes() -> int:
    """Return the resident memory of this process in bytes; 0 if the system does not say."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
