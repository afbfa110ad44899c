"""Writes the status of this process once a second, in a thread of its own."""

import os
import platform
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import orjson
from prometheus_client import Metric

from core import __version__, drain
from core.activity import ACTIVITY
from core.atomic_file import atomic_write
from core.counts import NUMBERS, RunCounts, counts_in, metrics_here
from core.errors import first_line
from core.memory import resident_bytes
from core.status import EpochStatus, FailureCount, ProcessState, ProcessStatus, StreamStatus
from core.telemetry import log
from core.untrusted_text import shortened

ALSO_TO: Final = "_MEMEWAX_STATUS"
"""Environment variable: further folder in which the parent wants the status."""
_SECONDS: Final = 1.0
_RATED_SECONDS: Final = 10.0
_RATES: Final = ("posts", "joined", "partial", "updated", "duplicates", "dead_letters", "queries", "answers")
_QUEUES: Final = {
    "memewax_fetch_waiting": "fetch",
    "memewax_posts_in_flight": "flow",
    "memewax_join_pending": "join",
    "memewax_retry_waiting": "retry",
    "memewax_store_waiting": "store",
}
_LONGEST_WHY: Final = 300


@dataclass(frozen=True, slots=True)
class FlowFacts:
    """Facts about the flow that a process knows from its start."""

    flow: str
    folders: tuple[Path, ...]
    """Folders of its status files."""
    sources: tuple[str, ...] = ()
    sinks: tuple[str, ...] = ()
    share_kept: float = 1.0


class StatusWriter:
    """Writes the `ProcessStatus` of this process from its start to its end.

    A failed write is logged once, and retried a second later; the process goes on.

    Args:
        facts: Facts about the flow.
        process: Index of this process, from 0.
        processes: Number of processes of the flow.
        health_port: Port of the health pages; 0: none.
        look: Called with each status.
    """

    def __init__(
        self,
        facts: FlowFacts,
        process: int = 0,
        processes: int = 1,
        health_port: int = 0,
        look: Callable[[ProcessStatus], None] = lambda _: None,
    ) -> None:
        self._facts = facts
        self._process, self._processes = process, processes
        also = os.environ.get(ALSO_TO)
        self._folders = (*facts.folders, *([Path(also)] if also else []))
        self._health_port = health_port
        self._look = look
        self._models: Mapping[str, str] = {}
        self._state: ProcessState = "starting"
        self._why = ""
        self._started = datetime.now(UTC)
        self._before: deque[tuple[float, RunCounts]] = deque()
        self._has_complained = False
        self._lock = threading.Lock()
        self._over = threading.Event()

    def start(self) -> None:
        """Start writing; the first process also removes the files of an earlier run with more processes."""
        if self._process == 0:
            for folder in self._folders:
                _remove_others(folder, self._facts.flow, self._processes)
        self.write()
        threading.Thread(target=self._run, name="status", daemon=True).start()

    def ready(self, models: Mapping[str, str]) -> None:
        """Report the state `running`, with the models by stage."""
        self._models = models
        self._state = "running"
        self.write()

    def end(self, why: str | None = None) -> None:
        """Write the last status: `ended`, or `failed` if `why` is given."""
        if self._over.is_set():
            return
        self._over.set()
        self._state, self._why = ("ended", "") if why is None else ("failed", shortened(why, _LONGEST_WHY))
        self.write()

    def write(self) -> None:
        """Write the current status; errors are logged once, and the write is retried a second later."""
        with self._lock:
            try:
                status = self.status()
                self._look(status)
                data = orjson.dumps(status.model_dump(mode="json"))
            except Exception as error:  # an observer must not end the flow, nor stop observing
                self._complain(error=first_line(error))
                return
            for folder in self._folders:
                try:
                    folder.mkdir(parents=True, exist_ok=True)
                    with atomic_write(folder / status.file_name) as file:
                        file.write(data)
                except OSError as error:
                    self._complain(folder=str(folder), error=error.strerror)

    def status(self) -> ProcessStatus:
        """Build the current status."""
        metrics = metrics_here()
        facts, counts, now = self._facts, counts_in(metrics), time.monotonic()
        state = "draining" if self._state == "running" and drain.is_stop_requested() else self._state
        epoch_at = ACTIVITY.epoch_at
        return ProcessStatus(
            flow=facts.flow,
            process=self._process,
            processes=self._processes,
            state=state,
            why=self._why,
            pid=os.getpid(),
            host=socket.gethostname(),
            started=self._started,
            written=datetime.now(UTC),
            health_port=self._health_port,
            memory_bytes=resident_bytes(),
            versions=dict(_versions()),
            models=dict(self._models),
            sources=facts.sources,
            sinks=facts.sinks,
            share_kept=round(min(facts.share_kept, counts.share_kept), 4),
            counts={name: getattr(counts, name) for name in NUMBERS},
            rates=self._rates(counts, now),
            lag=counts.lag,
            queues=_queues(metrics),
            failures=tuple(FailureCount(stage=it[0], kind=it[1], count=count) for it, count in counts.reasons.items()),
            skipped=counts.skipped,
            step_seconds={name: round(seconds, 6) for name, seconds in counts.step_seconds.items()},
            streams=_streams(metrics),
            epochs=EpochStatus(
                ended=ACTIVITY.epochs, seconds_since=None if epoch_at is None else round(now - epoch_at, 3)
            ),
        )

    def _complain(self, **what: Any) -> None:
        if not self._has_complained:
            log.warning("status cannot be written", **what)
        self._has_complained = True

    def _run(self) -> None:
        while not self._over.wait(_SECONDS):
            self.write()

    def _rates(self, counts: RunCounts, now: float) -> dict[str, float]:
        self._before.append((now, counts))
        while len(self._before) > 1 and now - self._before[0][0] > _RATED_SECONDS:
            self._before.popleft()
        then, before = self._before[0]
        seconds = max(now - then, _SECONDS)
        return {name: round((getattr(counts, name) - getattr(before, name)) / seconds, 3) for name in _RATES}


@cache
def _versions() -> dict[str, str]:
    return {"memewax": __version__, "python": platform.python_version(), "bytewax": version("bytewax")}


def _queues(metrics: Iterable[Metric]) -> dict[str, int]:
    found = {it.name: int(it.value) for metric in metrics for it in metric.samples if it.name in _QUEUES}
    return {queue: found.get(metric, 0) for metric, queue in _QUEUES.items()}


def _streams(metrics: Sequence[Metric]) -> dict[str, StreamStatus]:
    behind, gaps = (_by_service(metrics, f"memewax_stream_{it}") for it in ("behind_seconds", "gaps_total"))
    return {
        name: StreamStatus(behind_seconds=round(behind.get(name, 0.0), 3), gaps=int(gaps.get(name, 0)))
        for name in sorted(behind.keys() | gaps.keys())
    }


def _by_service(metrics: Iterable[Metric], sample: str) -> dict[str, float]:
    found = (it for metric in metrics for it in metric.samples if it.name == sample)
    return {it.labels["service"]: it.value for it in found}


def _remove_others(folder: Path, flow: str, processes: int) -> None:
    with suppress(OSError):
        for file in folder.glob(f"{flow}-*.json"):
            number = file.stem.rpartition("-")[2]
            if number.isdecimal() and int(number) >= processes:
                file.unlink(missing_ok=True)


def shown(addresses: Iterable[str]) -> tuple[str, ...]:
    """Return addresses without potential secrets: the user info and the query of a URL."""
    return tuple(_shown(it) for it in addresses)


def _shown(address: str) -> str:
    scheme, separator, rest = address.partition("://")
    if not separator:
        return address
    place = rest.partition("?")[0]
    host, slash, path = place.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
