"""What a flow says when it ends under `python -m bytewax.run`, and its exit code: as `memewax` does."""

import atexit
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from core import drain
from core.counts import RunCounts, own_counts
from core.endings import USELESS, Ending
from core.errors import MemewaxError, WorldError
from core.traces import TRACES
from core.untrusted_text import sanitized
from operators.steps import FAILURES

End = Callable[[RunCounts, float, Path | None, bool, bool], Ending]
"""From what a flow counted, the seconds that it took, its recovery folder, whether nothing was done in that before, and
whether it was asked to stop."""


def report_exit(end: End, recovery: Path | None, *, is_first: bool) -> None:
    """Say how the flow ended when this process does, where Bytewax's own command runs it."""
    main = sys.modules["__main__"].__spec__
    if main is not None and main.name == "bytewax.run":
        start = time.monotonic()
        atexit.register(lambda: _tell(end, time.monotonic() - start, recovery, is_first=is_first))


def _tell(end: End, seconds: float, recovery: Path | None, *, is_first: bool) -> None:
    TRACES.end()
    if FAILURES.first is not None:  # it was told when it happened
        if isinstance(FAILURES.first, MemewaxError):
            _exit(FAILURES.first.exit_code)
        return
    if hasattr(sys, "last_value"):  # an error of Bytewax's, whose traceback is on the screen
        return
    ending = end(own_counts(), seconds, recovery, is_first, drain.is_asked())
    for line in ending.lines:
        print(sanitized(f"memewax: {line}"), file=sys.stderr)
    if ending.is_useless:
        print(f"memewax: {USELESS}", file=sys.stderr)
        _exit(WorldError.exit_code)


def _exit(code: int) -> None:
    """Whoever is called when a process ends can choose its exit code in no other way."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
