"""Small products of matrices on one thread: several would wait for each other longer than they compute."""

from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


def on_one_thread() -> AbstractContextManager[object]:
    """Let NumPy's linear algebra use one thread within the block.

    Decomposing a matrix of 384 directions takes 50 ms so. With two threads, on cores that models use too, it took
    250 ms, and more processor time: each spins while it waits for the other, whose core has something else to do.
    """
    limited: AbstractContextManager[object] = _numpys().limit(limits=1)
    return limited


@cache
def _numpys() -> "ThreadpoolController":
    """NumPy's own library; that of torch keeps its threads."""
    from threadpoolctl import ThreadpoolController  # which sets a variable as it is imported

    found: ThreadpoolController = ThreadpoolController().select(internal_api="openblas")
    return found
