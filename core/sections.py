"""Tracks the section of the flow that each thread is in and, while a clock is set, its wall and CPU time.

Steps of the flow are always tracked: a batch may take minutes, and a profiler that starts meanwhile must see it. Other
sections are tracked only while a clock is set. Times are exclusive: nested sections count their own time.
"""

import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

FLOW: Final = "flow"
"""Python code of the flow outside of its steps."""
INPUT: Final = "input"
"""The sources: reading, and waiting for input."""
SNAPSHOT: Final = "snapshot"
"""Taking the state for a snapshot."""


@dataclass(slots=True)
class SectionTime:
    """Time of one section in one thread, in seconds."""

    wall: float = 0.0
    processor: float = 0.0
    batches: dict[int, list[float]] = field(default_factory=dict)
    """By batch size: number of batches, and their seconds including nested sections."""


@dataclass(slots=True)
class _Open:
    name: str
    wall: float
    processor: float
    is_whole: bool = True
    """Whether its start was observed."""
    inner_wall: float = 0.0
    inner_processor: float = 0.0


class SectionClock:
    """Measures the time in sections of all threads."""

    def __init__(self) -> None:
        self._open: dict[int, list[_Open]] = defaultdict(list)
        self._times: dict[int, dict[str, SectionTime]] = defaultdict(dict)

    def now_in(self, thread: int) -> str:
        """Return the innermost section of a thread; empty if it is in none."""
        stack = self._open.get(thread)
        try:
            return stack[-1].name if stack else ""
        except IndexError:  # the thread has just left it
            return ""

    def begin(self, thread: int, name: str, wall: float, processor: float) -> None:
        """Record a section that a thread was already in when the clock was set.

        Does nothing if the thread has entered a section itself since then.

        Args:
            thread: Python's id of the thread.
            name: Name of the section.
            wall: Wall time at which the section counts as entered.
            processor: CPU time of the thread at that point.
        """
        if not self._open[thread]:
            self._open[thread].append(_Open(name, wall, processor, is_whole=False))

    def enter(self, name: str) -> None:
        """Enter a section in the calling thread."""
        stack = self._open[threading.get_ident()]
        if stack and stack[-1].name == name and not stack[-1].is_whole:
            stack.pop()  # `begin` recorded it just now
        stack.append(_Open(name, time.perf_counter(), time.thread_time()))

    def leave(self, name: str, items: int) -> None:
        """Leave a section in the calling thread, after a batch of `items`."""
        stack = self._open[threading.get_ident()]
        if stack and stack[-1].name == name:
            self._close(threading.get_ident(), stack, time.perf_counter(), time.thread_time(), items)

    def end(self, thread: int, wall: float, processor: float) -> None:
        """Close all open sections of a thread, at the given wall and CPU time."""
        stack = self._open[thread]
        while stack:
            stack[-1].is_whole = False
            self._close(thread, stack, wall, processor, 0)

    def times(self, thread: int) -> dict[str, SectionTime]:
        """Return the time of each section of a thread."""
        return dict(self._times.get(thread, {}))

    def spent(self, thread: int, processor: float) -> dict[str, tuple[float, float]]:
        """Return wall and CPU seconds of each section of a thread up to now, open sections included.

        Args:
            thread: Must not run Python code meanwhile: the caller holds the GIL.
            processor: CPU time of the thread now.
        """
        spent = {name: (it.wall, it.processor) for name, it in self._times.get(thread, {}).items()}
        wall, now = time.perf_counter(), processor
        for it in reversed(self._open.get(thread, ())):
            before = spent.get(it.name, (0.0, 0.0))
            own = max(0.0, wall - it.wall - it.inner_wall), max(0.0, now - it.processor - it.inner_processor)
            spent[it.name] = before[0] + own[0], before[1] + own[1]
            wall, now = it.wall, it.processor  # time after this belongs to the section itself, not to the outer ones
        return spent

    def threads(self) -> list[int]:
        """Return all threads that were in a section."""
        return list(self._open)

    def _close(self, thread: int, stack: list[_Open], wall: float, processor: float, items: int) -> None:
        try:
            it = stack.pop()
        except IndexError:  # `end` has closed it just now
            return
        took, used = wall - it.wall, max(0.0, processor - it.processor)
        if stack:
            stack[-1].inner_wall += took
            stack[-1].inner_processor += used
        found = self._times[thread].setdefault(it.name, SectionTime())
        found.wall += took - it.inner_wall
        found.processor += min(took - it.inner_wall, max(0.0, used - it.inner_processor))
        if it.is_whole and items:
            batch = found.batches.setdefault(items, [0, 0.0])
            batch[0] += 1
            batch[1] += took


class Sections:
    """The sections and worker threads of this process."""

    def __init__(self) -> None:
        self.clock: SectionClock | None = None
        """Set while a profile is taken."""
        self.workers: dict[int, int] = {}
        """Threads that run the flow: Python's thread id to the system's."""
        self.steps: dict[int, str] = {}
        """Current step by thread."""

    def work(self) -> None:
        """Register the calling thread as one that runs the flow."""
        self.workers[threading.get_ident()] = threading.get_native_id()

    def enter(self, step: str) -> str | None:
        """Enter a step in the calling thread; returns the outer step."""
        thread = threading.get_ident()
        outer = self.steps.get(thread)
        self.steps[thread] = step  # before reading the clock: a profiler sets the clock first, then reads the steps
        clock = self.clock
        if clock is not None:
            clock.enter(step)
        return outer

    def leave(self, step: str, outer: str | None, items: int) -> None:
        """Leave a step in the calling thread after a batch of `items`, and return to the outer step."""
        thread = threading.get_ident()
        if outer is None:
            self.steps.pop(thread, None)
        else:
            self.steps[thread] = outer
        clock = self.clock
        if clock is not None:
            clock.leave(step, items)


SECTIONS: Final = Sections()
