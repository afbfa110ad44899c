"""Status files: what each process of a flow says of itself once a second, and how others read it.

A file is `FLOW-NUMBER.json` in a folder `status`. It is replaced as a whole, so that a reader never sees half of one. A
process that dies says nothing more: its file is then too old to be of a flow that runs.
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
"""In a store, or in `state_dir`."""
VERSION: Final = 1
STALE_SECONDS: Final = 10.0
"""A process that has written nothing for so long is gone."""
MAX_BYTES: Final = 2**20
"""A larger file is no status."""
_NAME: Final = re.compile(r"[a-z_]{1,64}-[0-9]{1,4}\.json")
_MOST_FILES: Final = 1024
_AHEAD_SECONDS: Final = 60.0
"""Clocks of machines differ by less."""

ProcessState = Literal["starting", "running", "draining", "ended", "failed"]
"""Of a process, as it says itself."""
FlowState = Literal["starting", "running", "draining", "ended", "failed", "gone"]
"""Of a flow, as others see it: `gone` has ended without saying so."""
_ALIVE: Final = frozenset({"starting", "running", "draining"})


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null")


class FailureCount(_Told):
    """How often something could not be used."""

    stage: str
    kind: str
    """The beginning of its reason."""
    count: int


class StreamStatus(_Told):
    """A live stream."""

    behind_seconds: float = 0.0
    """Age of the newest post that was read."""
    gaps: int = 0


class EpochStatus(_Told):
    """The epochs of a process; at the end of each a snapshot is taken."""

    ended: int = 0
    seconds_since: float | None = None
    """Since the last one ended."""


class ProcessStatus(_Told):
    """What a process of a flow says of itself."""

    version: Literal[1] = VERSION
    flow: str
    process: int
    """Its number, from 0."""
    processes: int
    """Of the flow."""
    state: ProcessState
    why: str = ""
    """It failed."""
    pid: int
    host: str
    started: AwareDatetime
    written: AwareDatetime
    health_port: int = 0
    """Where it answers; 0: nowhere."""
    memory_bytes: int = 0
    """Resident."""
    versions: dict[str, str] = {}
    models: dict[str, str] = {}
    """By stage."""
    sources: tuple[str, ...] = ()
    sinks: tuple[str, ...] = ()
    share_kept: float = 1.0
    """Of the posts that its sources give."""
    counts: dict[str, int] = {}
    """Since it started, by the names of `RunCounts`."""
    rates: dict[str, float] = {}
    """Of these, so many a second in the last ten."""
    lag: int = 0
    """Left to be read, as far as is known: messages, or bytes of files."""
    queues: dict[str, int] = {}
    """Posts that wait in each."""
    failures: tuple[FailureCount, ...] = ()
    skipped: dict[str, int] = {}
    """By reason."""
    step_seconds: dict[str, float] = {}
    streams: dict[str, StreamStatus] = {}
    epochs: EpochStatus = EpochStatus()

    @property
    def file_name(self) -> str:
        """Of its file."""
        return f"{self.flow}-{self.process}.json"

    @cached_property
    def run_counts(self) -> RunCounts:
        """What it has counted."""
        numbers = {name: value for name, value in self.counts.items() if name in NUMBERS}
        reasons = {(it.stage, it.kind): it.count for it in self.failures}
        return RunCounts(**numbers, reasons=reasons, skipped=self.skipped, step_seconds=self.step_seconds)

    def age(self, now: datetime) -> float:
        """Seconds since it was written."""
        return max(0.0, (now - self.written).total_seconds())

    def is_alive(self, now: datetime) -> bool:
        """Whether it runs."""
        return self.state in _ALIVE and self.age(now) <= STALE_SECONDS


@dataclass(frozen=True, slots=True)
class FlowStatus:
    """What is known of a flow."""

    flow: str
    state: FlowState
    silent_seconds: float
    """For how long no process of it has been running; 0 while one does."""
    processes: tuple[ProcessStatus, ...]
    missing: tuple[int, ...]
    """Numbers of processes that are gone, or have not begun, while others run."""

    @property
    def is_running(self) -> bool:
        """Whether any process of it runs."""
        return self.state in _ALIVE

    @property
    def counts(self) -> RunCounts:
        """Sums over its processes."""
        return total(it.run_counts for it in self.processes)

    @property
    def line(self) -> str:
        """The state in words."""
        since = duration_in_words(self.silent_seconds)
        words = {
            "gone": f"not running: it ended {since} ago without a word; start it again, and it goes on",
            "ended": f"not running: it came to its end {since} ago",
            "failed": f"not running: it failed {since} ago: {self._why()}",
        }
        lost = f"; without process {', '.join(map(str, self.missing))}" if self.missing else ""
        return one_line(f"{self.flow}: {words.get(self.state, self.state)}{lost}")

    def _why(self) -> str:
        return next((shortened(it.why, 300) for it in self.processes if it.why), "see its log")


@dataclass(frozen=True, slots=True)
class StatusReport:
    """What lies in a status folder."""

    flows: tuple[FlowStatus, ...]
    problems: tuple[str, ...]
    """A line for each file that cannot be read."""


def read_status(folder: Path, now: datetime | None = None) -> StatusReport:
    """Read the status files in a folder; what is wrong with one is a line, and raises nothing.

    Args:
        folder: `status` of a store; one that is not there holds none.
        now: The time by which files are old; in a zone.
    """
    time = now or datetime.now(UTC)
    found: dict[str, list[ProcessStatus]] = {}
    problems = []
    for file in _files(folder):
        try:
            status = _read(file, time)
        except FileNotFoundError:  # of a process that is not among those of a new run
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
        raise BadRecordError(f"more than {MAX_BYTES:,} bytes, which is no status: delete it")
    try:
        told: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise BadRecordError("not JSON, so it is no status: delete it") from None
    version = told.get("version") if isinstance(told, dict) else None
    if isinstance(version, int) and version > VERSION:
        raise BadRecordError(
            f"a status of version {version}, and this memewax reads {VERSION}: use the memewax that wrote it"
        )
    try:
        status = ProcessStatus.model_validate(told)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise BadRecordError(f"not a status ({shortened(where, 80)}: {first['msg']}): delete it") from None
    if status.file_name != file.name:
        raise BadRecordError(f"of {shortened(status.flow, 80)}, process {status.process}, by what it says: delete it")
    if (status.written - now).total_seconds() > _AHEAD_SECONDS:
        raise BadRecordError(f"written at {status.written.isoformat()}, which is yet to come: set the clocks right")
    return status


def _flow(flow: str, all_of: list[ProcessStatus], now: datetime) -> FlowStatus:
    newest = max(all_of, key=lambda it: it.written)
    # A run with more processes was before this one.
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
