"""Flush denormals (numbers below 1e-38) to zero in one thread: Intel CPUs take a hundred times as long for them."""

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
"""Bits FTZ (flush results to zero) and DAZ (treat denormal inputs as zero) of the register MXCSR."""


class _Mode(ctypes.Structure):
    """The floating-point environment of a thread: `fenv_t` of glibc on x86-64."""

    _fields_ = (("x87", ctypes.c_uint32 * 7), ("mxcsr", ctypes.c_uint32))


@contextmanager
def flush_denormals() -> Iterator[None]:
    """Treat numbers below 1e-38 as zero inside the `with` block, in the calling thread alone.

    On Linux x86-64 it uses the C library, because importing torch takes a second and 150 MB; elsewhere torch.
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
