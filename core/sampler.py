"""Samples the threads of this process a hundred times a second: what they run, and what they wait for.

The sampler is a thread of the process itself, since a pod may not inspect other processes. The flow's own sections
measure how long something took; the sampler adds how much of that time was a wait for the GIL or for a CPU.
"""

import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from itertools import dropwhile
from types import FrameType
from typing import Final

from core.sections import SECTIONS, SectionClock
from core.thread_clock import InterpreterLock, ThreadClock, ThreadTimes

INTERVAL_SECONDS: Final = 0.01
_MOST_STACKS: Final = 5000
_DEEPEST: Final = 100
_MOST_THREADS: Final = 256
_OTHERS: Final = "(others)"
_NONE: Final = (0.0, 0.0)
OUTSIDE: Final = ""
"""Name for time outside of all sections."""
_OWN: Final = frozenset({"status", "http", "profile", "lock", "parent"})
"""Names of threads that only observe."""
_BEGINNINGS: Final = frozenset({"runpy", "__main__", "threading", "concurrent.futures.thread"})
"""Modules in which the stack of a process or thread begins."""


@dataclass(slots=True)
class WorkerSample:
    """Samples of a worker thread, in seconds by section."""

    begun: ThreadTimes | None
    ended: ThreadTimes | None = None
    locked: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Waited for the GIL."""
    queued: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Waited for a CPU."""
    spent: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Wall and CPU time of each section at the last sample."""


class Sampler:
    """Samples, and times sections, from `start` to `stop`; only one at a time per process."""

    def __init__(self) -> None:
        self.clock = SectionClock()
        self.workers: dict[int, WorkerSample] = {}
        self.stacks: dict[tuple[str, ...], float] = defaultdict(float)
        """Seconds by thread and stack, outermost frame first: wall time of workers, CPU time of other threads."""
        self.seconds = 0.0
        self.processor_seconds = 0.0
        """CPU time of the whole process."""
        self.knows_lock = False
        self._lock: InterpreterLock
        self._clocks: dict[int, ThreadClock] = {}
        self._others: dict[int, ThreadClock] = {}
        """Clocks of all threads that run Python."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="profile", daemon=True)

    def start(self) -> None:
        """Start sampling."""
        self._lock = InterpreterLock()
        self.knows_lock = self._lock.is_known
        self._follow_threads()
        self._begun = time.perf_counter()
        self._processor = time.process_time()
        SECTIONS.clock = self.clock
        for thread, step in SECTIONS.steps.copy().items():
            times = self._clocks[thread].times() if thread in self._clocks else None
            self.clock.begin(thread, step, self._begun, times.processor if times else 0.0)
        self._thread.start()

    def stop(self) -> None:
        """Stop sampling; open sections count up to now."""
        SECTIONS.clock = None
        ended = time.perf_counter()
        self.seconds = ended - self._begun
        self._over.set()
        self._thread.join()
        self.processor_seconds = time.process_time() - self._processor
        for thread, sample in self.workers.items():
            sample.ended = self._clocks[thread].times() or sample.ended
            self.clock.end(thread, ended, sample.ended.processor if sample.ended else 0.0)
        for clock in (*self._clocks.values(), *self._others.values()):
            clock.close()

    def _run(self) -> None:
        last = time.perf_counter()
        while not self._over.wait(INTERVAL_SECONDS):
            now = time.perf_counter()
            self._follow_threads()
            used = {thread: clock.processor_since() for thread, clock in self._others.items()}
            for thread, worker in self.workers.items():
                held = sum(used.values()) - used.get(thread, 0.0)
                self._see(thread, worker, now - last, held)
            self._take_stacks(now - last, used)
            last = now

    def _see(self, thread: int, worker: WorkerSample, passed: float, held: float) -> None:
        """Record what a worker waited for since the last sample.

        Args:
            thread: Python's id of the worker.
            worker: Its samples so far.
            passed: Wall seconds since the last sample.
            held: CPU seconds of the other Python threads since then: only they can have held the GIL.
        """
        clock = self._clocks[thread]
        times, then = clock.times(), worker.ended or worker.begun
        if times is None or then is None:
            return
        worker.ended = times
        try:
            spent = self.clock.spent(thread, times.processor)
        except RuntimeError:  # the thread ran meanwhile
            return
        before, worker.spent = worker.spent, spent
        took = {
            name: (it[0] - before.get(name, _NONE)[0], it[1] - before.get(name, _NONE)[1]) for name, it in spent.items()
        }
        used = times.processor - then.processor
        outside = passed - sum(wall for wall, _ in took.values())
        took[OUTSIDE] = outside, used - sum(processor for _, processor in took.values())
        free = {name: max(0.0, wall - max(0.0, processor)) for name, (wall, processor) in took.items()}
        active = {name: max(0.0, processor) for name, (_, processor) in took.items()}
        queued = min(sum(free.values()), max(0.0, times.queued - then.queued))
        _deal(queued, active, free, worker.queued)
        if self._lock.has(clock.waits_on()):
            _deal(min(sum(free.values()), held), active, free, worker.locked)

    def _follow_threads(self) -> None:
        """Start clocks for new threads, and close those of threads that have ended."""
        for thread, number in list(SECTIONS.workers.items()):
            if thread not in self.workers:
                self._clocks[thread] = ThreadClock(number)
                self.workers[thread] = WorkerSample(self._clocks[thread].times())
        there = {it.ident: it.native_id for it in threading.enumerate() if it.ident and it.native_id}
        for thread in self._others.keys() - there.keys():
            self._others.pop(thread).close()
        for thread, native in there.items():
            if thread not in self._others and len(self._others) < _MOST_THREADS:
                self._others[thread] = ThreadClock(native)

    def _take_stacks(self, passed: float, used: Mapping[int, float]) -> None:
        """Add to the stack of each thread: for workers the wall time that passed, for others their CPU time."""
        names = {it.ident: it.name for it in threading.enumerate()}
        for thread, frame in sys._current_frames().items():  # noqa: SLF001 - documented for this
            name, seconds = _kind(names.get(thread, "native")), used.get(thread, 0.0)
            if thread in self.workers:
                stack: tuple[str, ...] = ("worker", self.clock.now_in(thread) or "engine", *_frames(frame))
                seconds = passed
            elif name in _OWN or not seconds:
                continue
            else:
                stack = (name, *_frames(frame))
            if stack not in self.stacks and len(self.stacks) >= _MOST_STACKS:
                stack = (stack[0], _OTHERS)
            self.stacks[stack] += seconds


def _deal(
    seconds: float, active: Mapping[str, float], free: dict[str, float], into: MutableMapping[str, float]
) -> None:
    """Distribute a wait over the sections it may belong to, by their CPU time first, since they waited to compute.

    Args:
        seconds: The wait, at most the sum of `free`.
        active: CPU seconds of each section.
        free: Unexplained seconds of each section; what is distributed is subtracted.
        into: What is distributed to each section is added here.
    """
    for weights in (active, dict(free)):
        whole = sum(weights.values())
        left = seconds
        for name, weight in weights.items():
            share = min(free[name], seconds * weight / whole) if whole else 0.0
            free[name] -= share
            into[name] += share
            left -= share
        seconds = max(0.0, left)


def cores() -> int:
    """Return the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _kind(name: str) -> str:
    """Return the name of a thread without its number, so that the threads of a pool count as one."""
    return name.rstrip("0123456789").rstrip("_- ") or "thread"


def _frames(frame: FrameType | None) -> tuple[str, ...]:
    """Return the stack from the outermost frame, without the frames that start a process or thread."""
    found: list[tuple[str, str]] = []
    while frame is not None and len(found) < _DEEPEST:
        found.append((frame.f_globals.get("__name__", "?"), frame.f_code.co_qualname))
        frame = frame.f_back
    ordered = dropwhile(lambda it: it[0] in _BEGINNINGS, reversed(found))
    return tuple(f"{module}.{name}" for module, name in ordered)
