"""Limit NumPy to one thread for small matrices: several threads would wait for each other longer than they compute."""

from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


def on_one_thread() -> AbstractContextManager[object]:
    """Limit NumPy's linear algebra to one thread within the `with` block.

    The eigenvectors of a 384 x 384 matrix take 50 ms this way. With two threads, on cores that models use too, they
    took 250 ms, and more CPU time: each thread spins while it waits for the other, whose core is busy with a model.
    """
    limited: AbstractContextManager[object] = _numpy_threads().limit(limits=1)
    return limited


@cache
def _numpy_threads() -> "ThreadpoolController":
    """Select NumPy's own BLAS library; torch keeps its threads."""
    from threadpoolctl import ThreadpoolController  # imported late: it sets an environment variable

    found: ThreadpoolController = ThreadpoolController().select(internal_api="openblas")
    return found
