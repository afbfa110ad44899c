"""Runs a flow in one or more processes, supervises them, and reports a failure in one line."""

import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from connectors.writer_locks import HANDED_ON
from core.counts import RunCounts, total
from core.errors import MemewaxError
from core.settings import PREFIX, as_variable
from core.status import read_status
from core.status_writer import ALSO_TO
from memewax.commands.processes import Process, Processes, Signals
from memewax.commands.recovery import lock_recovery

_TICK: Final = 0.25


class FlowError(MemewaxError):
    """A process of the flow failed; carries its reason and exit code."""

    def __init__(self, message: str, exit_code: int, *, has_read: bool = True) -> None:
        super().__init__(message)
        self.has_read = has_read
        """Whether the flow may have read something before it failed."""
        self.exit_code = exit_code  # type: ignore[misc]


@dataclass(frozen=True, slots=True)
class Job:
    """A flow to run, with its settings."""

    flow: str
    settings: Mapping[str, Any]
    """Settings by name that override environment variables and file."""
    recovery: Path
    snapshot_seconds: float
    processes: int = 1


@dataclass(frozen=True, slots=True)
class Ended:
    """Result of a flow that ended without an error."""

    counts: RunCounts
    seconds: float
    drained: bool = False
    """Whether a signal ended the flow before its source did."""
    is_first: bool = False
    """Whether the recovery folder was new."""


def run_job(
    job: Job, show: Callable[[RunCounts], None], on_log_line: Callable[[str], None], locks: Sequence[int] = ()
) -> Ended:
    """Run a job to its end; SIGTERM and Ctrl-C drain it.

    Args:
        job: What to run.
        show: Called a few times a second with the counts so far.
        on_log_line: Called with each line that a process logs.
        locks: File descriptors of the locks that the processes inherit, besides that of the recovery folder.

    Raises:
        FlowError: If a process failed; the others are terminated too.
    """
    start = time.monotonic()
    with (
        lock_recovery(job.recovery) as lock,
        tempfile.TemporaryDirectory(prefix="memewax-") as folder,
        Processes() as processes,
        Signals(processes),
    ):
        status = Path(folder)
        environment = _environment(job, status)
        for command in _commands(job):
            processes.start(command, environment, (lock, *locks), on_log_line)
        while processes.are_running():
            time.sleep(_TICK)
            show(_counts_in(status)[0])
            if processes.failed():
                processes.stop()
        counts, may_have_read = _counts_in(status)
        drained = processes.were_signalled()
    failed = processes.failed()
    if failed:
        raise _flow_error(failed, has_read=may_have_read)
    return Ended(counts, time.monotonic() - start, drained)


def _environment(job: Job, status: Path) -> dict[str, str]:
    return {
        **os.environ,
        **{f"{PREFIX}{name.upper()}": as_variable(value) for name, value in job.settings.items()},
        f"{PREFIX}PROCESSES": str(job.processes),
        ALSO_TO: str(status),
        "RUST_BACKTRACE": "0",
        HANDED_ON: "1",
    }


def _counts_in(folder: Path) -> tuple[RunCounts, bool]:
    """Return the total counts of the processes, and whether any may have read something.

    A process that was killed has not reported its last second.
    """
    flows = read_status(folder).flows
    counts = total(flow.counts for flow in flows)
    is_unreported = any(process.state in {"running", "draining"} for flow in flows for process in flow.processes)
    return counts, is_unreported or bool(counts.posts or counts.dead_letters)


def _commands(job: Job) -> list[list[str]]:
    """Return the command line of each process."""
    worker = [sys.executable, "-m", "memewax.commands.worker", job.flow, str(job.recovery), str(job.snapshot_seconds)]
    if job.processes == 1:
        return [worker]
    addresses = _free_addresses(job.processes)
    return [[*worker, str(index), *addresses] for index in range(job.processes)]


def _free_addresses(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{it.getsockname()[1]}" for it in sockets]
    for it in sockets:
        it.close()
    return addresses


def _flow_error(failed: list[Process], *, has_read: bool) -> FlowError:
    """Return the error with the reason of the process that failed first, not of those that lost it as a peer."""
    causes = [process for process in failed if not process.lost_peer()] or failed
    for process in causes:
        if process.code() >= 0 and process.reasons:
            return FlowError(process.reasons[-1], process.code(), has_read=has_read)
    for process in causes:
        if process.code() < 0:
            name = signal.Signals(-process.code()).name
            return FlowError(f"a process of the flow was killed by {name}; run the same command again to resume", 1)
    output = "\n".join(causes[0].tail)
    return FlowError(f"a process of the flow ended with code {causes[0].code()}:\n{output}", 1)
