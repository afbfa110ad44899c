"""Status files: each process of a flow writes its status once a second, for others to read.

A file is `FLOW-NUMBER.json` in a folder `status`. It is replaced atomically, so that a reader never sees half of one. A
process that dies writes no more: its file is soon too old to belong to a running flow.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import orjson
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from core.counts import NUMBERS, RunCounts, total
from core.errors import BadRecordError
from core.times import duration_in_words
from core.untrusted_text import one_line, shortened

FOLDER: Final = "status"
"""Folder in a store, or in `state_dir`."""
VERSION: Final = 1
STALE_SECONDS: Final = 10.0
"""A process that has written no status for this long is gone."""
MAX_BYTES: Final = 2**20
"""A larger file is not a status file."""
_NAME: Final = re.compile(r"[a-z_]{1,64}-[0-9]{1,4}\.json")
_MOST_FILES: Final = 1024
_AHEAD_SECONDS: Final = 60.0
"""Tolerated clock difference between machines."""

ProcessState = Literal["starting", "running", "draining", "ended", "failed"]
"""State of a process, as it reports itself."""
FlowState = Literal["starting", "running", "draining", "ended", "failed", "gone"]
"""State of a flow, as others see it; `gone`: it ended without reporting so."""
_ALIVE: Final = frozenset({"starting", "running", "draining"})


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null")


class FailureCount(_Report):
    """Number of dead letters and failures of one kind."""

    stage: str
    kind: str
    """Beginning of the reason."""
    count: int


class StreamStatus(_Report):
    """Status of a live stream."""

    behind_seconds: float = 0.0
    """Age of the newest post read."""
    gaps: int = 0


class EpochStatus(_Report):
    """The epochs of a process; each ends with a snapshot."""

    ended: int = 0
    seconds_since: float | None = None
    """Seconds since the last epoch ended."""


class ProcessStatus(_Report):
    """Status of one process of a flow, as it reports itself."""

    version: Literal[1] = VERSION
    flow: str
    process: int
    """Index of the process, from 0."""
    processes: int
    """Number of processes of the flow."""
    state: ProcessState
    why: str = ""
    """Why it failed; empty if it did not."""
    pid: int
    host: str
    started: AwareDatetime
    written: AwareDatetime
    health_port: int = 0
    """Port of the health pages; 0: none."""
    memory_bytes: int = 0
    """Resident memory."""
    versions: dict[str, str] = {}
    models: dict[str, str] = {}
    """Model by stage."""
    sources: tuple[str, ...] = ()
    sinks: tuple[str, ...] = ()
    share_kept: float = 1.0
    """Share of its sources' posts that it reads."""
    counts: dict[str, int] = {}
    """Counts since its start, by field of `RunCounts`."""
    rates: dict[str, float] = {}
    """Throughput: counts per second over the last ten seconds."""
    lag: int = 0
    """Known backlog: messages, or bytes of files."""
    queues: dict[str, int] = {}
    """Posts waiting, by queue."""
    failures: tuple[FailureCount, ...] = ()
    skipped: dict[str, int] = {}
    """Items that are not posts, by reason."""
    step_seconds: dict[str, float] = {}
    streams: dict[str, StreamStatus] = {}
    epochs: EpochStatus = EpochStatus()

    @property
    def file_name(self) -> str:
        """Return the name of its status file."""
        return f"{self.flow}-{self.process}.json"

    @cached_property
    def run_counts(self) -> RunCounts:
        """Return its counts."""
        numbers = {name: value for name, value in self.counts.items() if name in NUMBERS}
        reasons = {(it.stage, it.kind): it.count for it in self.failures}
        return RunCounts(**numbers, reasons=reasons, skipped=self.skipped, step_seconds=self.step_seconds)

    def age(self, now: datetime) -> float:
        """Return the seconds since it was written."""
        return max(0.0, (now - self.written).total_seconds())

    def is_alive(self, now: datetime) -> bool:
        """Check whether the process runs."""
        return self.state in _ALIVE and self.age(now) <= STALE_SECONDS


@dataclass(frozen=True, slots=True)
class FlowStatus:
    """Status of a flow, from the status of its processes."""

    flow: str
    state: FlowState
    silent_seconds: float
    """Seconds since any process of it ran; 0 while one does."""
    processes: tuple[ProcessStatus, ...]
    missing: tuple[int, ...]
    """Indices of processes that are gone, or have not begun, while others run."""

    @property
    def is_running(self) -> bool:
        """Check whether any process of it runs."""
        return self.state in _ALIVE

    @property
    def counts(self) -> RunCounts:
        """Return the sum of its processes' counts."""
        return total(it.run_counts for it in self.processes)

    @property
    def line(self) -> str:
        """Describe the state in one line."""
        since = duration_in_words(self.silent_seconds)
        words = {
            "gone": f"not running: it ended {since} ago without reporting why; start it again to resume",
            "ended": f"not running: it finished {since} ago",
            "failed": f"not running: it failed {since} ago: {self._why()}",
        }
        lost = f"; missing process {', '.join(map(str, self.missing))}" if self.missing else ""
        return one_line(f"{self.flow}: {words.get(self.state, self.state)}{lost}")

    def _why(self) -> str:
        return next((shortened(it.why, 300) for it in self.processes if it.why), "see its log")


@dataclass(frozen=True, slots=True)
class StatusReport:
    """The contents of a status folder."""

    flows: tuple[FlowStatus, ...]
    problems: tuple[str, ...]
    """A line for each unreadable file."""


def read_status(folder: Path, now: datetime | None = None) -> StatusReport:
    """Read the status files in a folder; a bad file becomes a problem in the report, not an error.

    Args:
        folder: `status` of a store; it may be missing.
        now: Time, with a zone, from which ages are counted.
    """
    time = now or datetime.now(UTC)
    found: dict[str, list[ProcessStatus]] = {}
    problems = []
    for file in _files(folder):
        try:
            status = _read(file, time)
        except FileNotFoundError:  # removed because a new run has fewer processes
            continue
        except (OSError, BadRecordError) as error:
            problems.append(one_line(f"{file}: {error.strerror if isinstance(error, OSError) else error}"))
        else:
            found.setdefault(status.flow, []).append(status)
    return StatusReport(tuple(_flow(flow, all_of, time) for flow, all_of in sorted(found.items())), tuple(problems))


def _files(folder: Path) -> Iterable[Path]:
    try:
        names = sorted(it.name for it in folder.iterdir() if _NAME.fullmatch(it.name))
    except OSError:
        return []
    return [folder / name for name in names[:_MOST_FILES]]


def _read(file: Path, now: datetime) -> ProcessStatus:
    with file.open("rb") as data:
        text = data.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise BadRecordError(f"more than {MAX_BYTES:,} bytes, too many for a status file: delete it")
    try:
        value: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadRecordError("not JSON, so not a status file: delete it") from None
    version = value.get("version") if isinstance(value, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise BadRecordError(
            f"a status of version {version}, but this memewax reads version {VERSION}: use the memewax that wrote it"
        )
    try:
        status = ProcessStatus.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise BadRecordError(f"not a status ({shortened(where, 80)}: {first['msg']}): delete it") from None
    if status.file_name != file.name:
        raise BadRecordError(f"its content is of {shortened(status.flow, 80)}, process {status.process}: delete it")
    if (status.written - now).total_seconds() > _AHEAD_SECONDS:
        raise BadRecordError(f"written at {status.written.isoformat()}, which is in the future: synchronise the clocks")
    return status


def _flow(flow: str, all_of: list[ProcessStatus], now: datetime) -> FlowStatus:
    newest = max(all_of, key=lambda it: it.written)
    # Files of processes beyond that number are left from an earlier run with more processes.
    own = tuple(sorted((it for it in all_of if it.process < newest.processes), key=lambda it: it.process))
    alive = {it.process for it in own if it.is_alive(now)}
    if not alive:
        failed = next((it.state for it in own if it.state == "failed"), None)
        unsaid = any(it.state in _ALIVE for it in own)
        state: FlowState = failed or ("gone" if unsaid else "ended")
        return FlowStatus(flow, state, newest.age(now), own, ())
    states = {it.state for it in own if it.process in alive}
    state = next(it for it in ("draining", "starting", "running") if it in states)
    done = {it.process for it in own if it.state == "ended"}
    missing = tuple(sorted(set(range(min(newest.processes, _MOST_FILES))) - alive - done))
    return FlowStatus(flow, state, 0.0, own, missing)
