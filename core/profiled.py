"""Where the time of a process went while it was looked at: by section of the flow, and by what it did or waited for."""

from collections.abc import Iterable
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from core.counts import RunCounts
from core.sampler import OUTSIDE, Sampler, WorkerSample, cores
from core.sections import FLOW, INPUT, SNAPSHOT, SectionTime

VERSION: Final = 1
ENGINE: Final = "engine"
"""Bytewax itself: moving items between steps, and what of snapshots is not ours."""
WAITING: Final = "waiting for input"
OWN: Final = (INPUT, FLOW, SNAPSHOT, ENGINE, WAITING)
"""Sections that are no step."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null")


class BatchSize(_Part):
    """Batches of a step that had about so many items."""

    least: int
    most: int
    batches: int
    items: int
    seconds: float
    """With what the step calls inside."""


class SectionProfile(_Part):
    """A section of the flow; its four times are together its seconds."""

    section: str
    """A step, or one of `OWN`."""
    seconds: float
    computing: float
    """On a processor, by the worker's own thread."""
    locked: float
    """Waiting for the interpreter's lock."""
    queued: float
    """Ready to run while no processor was free."""
    elsewhere: float
    """Waiting for anything else: threads of a library that compute, a disk, a broker, the next input."""
    sizes: tuple[BatchSize, ...] = ()

    @property
    def items(self) -> int:
        """That went through it, in batches that were seen from their beginning to their end."""
        return sum(it.items for it in self.sizes)

    @property
    def batches(self) -> int:
        """The same of batches."""
        return sum(it.batches for it in self.sizes)


class ProcessProfile(_Part):
    """Where the time of a process went."""

    version: Literal[1] = VERSION
    flow: str
    process: int
    pid: int
    seconds: float
    """By the clock on the wall."""
    workers: int
    """Threads that run the flow; the sections' seconds are together as many times the seconds."""
    cores: int
    """Processors that it may use."""
    processor_seconds: float
    """Of all its threads, those of libraries included."""
    knows_lock: bool
    """Whether the system told what waited for the lock; else that is among `elsewhere`."""
    posts: int
    """Or queries, that were read meanwhile."""
    left: int = 0
    """To read, at the end: messages, or bytes of files."""
    sections: tuple[SectionProfile, ...]
    beside: dict[str, float] = {}
    """Steps in other threads, which cost a worker nothing by themselves: seconds."""
    stacks: dict[str, float] = {}
    """Seconds by frames, outermost first and `;` between them: of workers by the clock, of others on a processor."""


def merged(sections: Iterable[SectionProfile]) -> SectionProfile:
    """The same section of several threads or processes as one."""
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
    """What a sampler that has stopped has seen of a process.

    Args:
        sampler: Which has stopped.
        before: What the process had counted when it began.
        after: And when it stopped.
        flow: Name of the flow.
        process: Number of the process in it.
        pid: The system's.
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
    """Those of a worker; what is in none of them is the engine's where a processor was used, and else a wait."""
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
    """Batches by size, in ranges that double: 1, 2, 3 to 4, 5 to 8."""
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
