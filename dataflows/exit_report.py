"""Last lines and exit code of a flow under `python -m bytewax.run`, the same as of the `memewax` commands."""

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
"""Makes the last lines of a flow from its counts, its duration in seconds, its recovery folder, whether this was the
first run with that folder, and whether it was asked to stop."""


def report_exit(end: End, recovery: Path | None, *, is_first: bool) -> None:
    """Report how the flow ended when the process exits, if Bytewax's own command runs it."""
    main = sys.modules["__main__"].__spec__
    if main is not None and main.name == "bytewax.run":
        start = time.monotonic()
        atexit.register(lambda: _report(end, time.monotonic() - start, recovery, is_first=is_first))


def _report(end: End, seconds: float, recovery: Path | None, *, is_first: bool) -> None:
    TRACES.end()
    if FAILURES.first is not None:  # reported when it happened
        if isinstance(FAILURES.first, MemewaxError):
            _exit(FAILURES.first.exit_code)
        return
    if hasattr(sys, "last_value"):  # an error of Bytewax itself, whose traceback was printed
        return
    ending = end(own_counts(), seconds, recovery, is_first, drain.is_stop_requested())
    for line in ending.lines:
        print(sanitized(f"memewax: {line}"), file=sys.stderr)
    if ending.is_useless:
        print(f"memewax: {USELESS}", file=sys.stderr)
        _exit(WorldError.exit_code)


def _exit(code: int) -> None:
    """Exit with a code at once: an `atexit` function has no other way to choose the exit code."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
