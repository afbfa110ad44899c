"""Numbers below 1e-38 taken for zero by one thread: processors of Intel take a hundred times as long for them."""

import ctypes
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Final

from models.torch_runtime import imported_torch

_MATHS: Final = "libm.so.6"
_AS_ZERO: Final = 0x8040
"""Bits of the register MXCSR: what comes out (flush to zero), and what goes in (denormals are zero)."""


class _Mode(ctypes.Structure):
    """How a thread computes, as the C library of Linux on x86-64 has it (`fenv_t`)."""

    _fields_ = (("x87", ctypes.c_uint32 * 7), ("mxcsr", ctypes.c_uint32))


@contextmanager
def flush_denormals() -> Iterator[None]:
    """Let the thread that calls take numbers below 1e-38 for zero inside the block; others do as before.

    The C library is asked for it where that is known to work, since importing torch takes a second and 150 MB.
    """
    maths = _maths()
    if maths is not None:
        mode = _Mode()
        maths.fegetenv(ctypes.byref(mode))
        before = mode.mxcsr
        mode.mxcsr = before | _AS_ZERO
        maths.fesetenv(ctypes.byref(mode))
        try:
            yield
        finally:
            mode.mxcsr = before
            maths.fesetenv(ctypes.byref(mode))
        return
    torch = imported_torch()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@cache
def _maths() -> ctypes.PyDLL | None:
    if sys.platform != "linux" or platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc":
        return None
    with suppress(OSError):
        return ctypes.PyDLL(_MATHS)
    return None
