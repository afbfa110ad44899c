"""Profile of a process: time by section of the flow, split into computing, lock, run queue and other waits."""

from collections.abc import Iterable
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from core.counts import RunCounts
from core.sampler import OUTSIDE, Sampler, WorkerSample, cores
from core.sections import FLOW, INPUT, SNAPSHOT, SectionTime

VERSION: Final = 1
ENGINE: Final = "engine"
"""Bytewax itself: moving items between steps, and its share of snapshots."""
WAITING: Final = "waiting for input"
OWN: Final = (INPUT, FLOW, SNAPSHOT, ENGINE, WAITING)
"""Sections that are not steps."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null")


class BatchSize(_Part):
    """Batches of a step whose size lies in one range."""

    least: int
    most: int
    batches: int
    items: int
    seconds: float
    """Total duration, including nested steps."""


class SectionProfile(_Part):
    """Profile of one section; `seconds` is the sum of computing, locked, queued and elsewhere."""

    section: str
    """Name of a step, or one of `OWN`."""
    seconds: float
    computing: float
    """On a CPU, by the worker's own thread."""
    locked: float
    """Waiting for the GIL."""
    queued: float
    """Runnable, but no CPU was free."""
    elsewhere: float
    """Waiting for anything else: computing threads of a library, a disk, a broker, the next input."""
    sizes: tuple[BatchSize, ...] = ()

    @property
    def items(self) -> int:
        """Return the items that went through, in batches that were observed from start to end."""
        return sum(it.items for it in self.sizes)

    @property
    def batches(self) -> int:
        """Return the number of batches that were observed from start to end."""
        return sum(it.batches for it in self.sizes)


class ProcessProfile(_Part):
    """Profile of one process of a flow."""

    version: Literal[1] = VERSION
    flow: str
    process: int
    pid: int
    seconds: float
    """Wall time."""
    workers: int
    """Threads that run the flow; the seconds of all sections add up to wall time times workers."""
    cores: int
    """CPUs that the process may use."""
    processor_seconds: float
    """CPU time of all its threads, including those of libraries."""
    knows_lock: bool
    """Whether the system reports waits for the GIL; otherwise they are part of `elsewhere`."""
    posts: int
    """Posts or queries read during the profile."""
    left: int = 0
    """Lag at the end: messages, or bytes of files."""
    sections: tuple[SectionProfile, ...]
    beside: dict[str, float] = {}
    """Wall seconds of steps in threads that are not workers; they cost a worker nothing by themselves."""
    stacks: dict[str, float] = {}
    """Seconds by stack, outermost frame first, joined by `;`: wall time of workers, CPU time of other threads."""


def merged(sections: Iterable[SectionProfile]) -> SectionProfile:
    """Merge profiles of the same section from several threads or processes."""
    several = list(sections)
    return SectionProfile(
        section=several[0].section,
        seconds=sum(it.seconds for it in several),
        computing=sum(it.computing for it in several),
        locked=sum(it.locked for it in several),
        queued=sum(it.queued for it in several),
        elsewhere=sum(it.elsewhere for it in several),
        sizes=_by_range(size for it in several for size in it.sizes),
    )


def profiled(
    sampler: Sampler, before: RunCounts, after: RunCounts, flow: str, process: int, pid: int
) -> ProcessProfile:
    """Build the profile of a process from a stopped sampler.

    Args:
        sampler: A sampler that has stopped.
        before: Counts of the process when sampling began.
        after: Counts when it stopped.
        flow: Name of the flow.
        process: Index of the process in the flow.
        pid: Operating-system process id.
    """
    found: dict[str, list[SectionProfile]] = {}
    for thread, sample in sampler.workers.items():
        for it in _sections(sampler.clock.times(thread), sample, sampler.seconds):
            found.setdefault(it.section, []).append(it)
    beside: dict[str, float] = {}
    for thread in sampler.clock.threads():
        if thread not in sampler.workers:
            for name, taken in sampler.clock.times(thread).items():
                beside[name] = beside.get(name, 0.0) + taken.wall
    return ProcessProfile(
        flow=flow,
        process=process,
        pid=pid,
        seconds=sampler.seconds,
        workers=len(sampler.workers),
        cores=cores(),
        processor_seconds=sampler.processor_seconds,
        knows_lock=sampler.knows_lock,
        posts=after.posts + after.queries - before.posts - before.queries,
        left=after.lag,
        sections=tuple(sorted(map(merged, found.values()), key=lambda it: -it.seconds)),
        beside=beside,
        stacks={";".join(frames): round(seconds, 4) for frames, seconds in sampler.stacks.items()},
    )


def _sections(times: dict[str, SectionTime], sample: WorkerSample, seconds: float) -> list[SectionProfile]:
    """Return a worker's sections. Time outside of all is the engine's where it used a CPU, and waiting otherwise."""
    steps = [_section(name, max(0.0, it.wall), it.processor, sample, it) for name, it in times.items()]
    begun, ended = sample.begun, sample.ended
    used = ended.processor - begun.processor if begun and ended else 0.0
    outside = max(0.0, seconds - sum(it.seconds for it in steps))
    rest = _section(OUTSIDE, outside, max(0.0, used - sum(it.computing for it in steps)), sample)
    waits = rest.elsewhere + sum(it.elsewhere for it in steps if it.section == INPUT)
    found = [_without_waits(it) if it.section == INPUT else it for it in steps]
    found.append(_without_waits(rest.model_copy(update={"section": ENGINE})))
    found.append(SectionProfile(section=WAITING, seconds=waits, computing=0.0, locked=0.0, queued=0.0, elsewhere=waits))
    return found


def _section(
    name: str, wall: float, processor: float, sample: WorkerSample, taken: SectionTime | None = None
) -> SectionProfile:
    computing = min(wall, processor)
    locked = min(wall - computing, sample.locked.get(name, 0.0))
    queued = min(wall - computing - locked, sample.queued.get(name, 0.0))
    sizes = [
        BatchSize(least=items, most=items, batches=round(count), items=items * round(count), seconds=seconds)
        for items, (count, seconds) in (taken.batches if taken else {}).items()
    ]
    return SectionProfile(
        section=name,
        seconds=wall,
        computing=computing,
        locked=locked,
        queued=queued,
        elsewhere=wall - computing - locked - queued,
        sizes=_by_range(sizes),
    )


def _without_waits(it: SectionProfile) -> SectionProfile:
    return it.model_copy(update={"seconds": it.seconds - it.elsewhere, "elsewhere": 0.0})


def _by_range(sizes: Iterable[BatchSize]) -> tuple[BatchSize, ...]:
    """Group batches by size, in ranges that double: 1, 2, 3 to 4, 5 to 8."""
    ranges: dict[int, list[BatchSize]] = {}
    for it in sizes:
        ranges.setdefault((it.most - 1).bit_length(), []).append(it)
    return tuple(
        BatchSize(
            least=min(it.least for it in several),
            most=max(it.most for it in several),
            batches=sum(it.batches for it in several),
            items=sum(it.items for it in several),
            seconds=sum(it.seconds for it in several),
        )
        for _, several in sorted(ranges.items())
    )
