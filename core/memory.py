"""Memory of the C library: bounded in what it keeps for threads, and given back after large pieces of work."""

import ctypes
from contextlib import suppress
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
