"""Which section of the flow each thread is in; while a clock is set, how long each takes, in wall and processor time.

A step of the flow is a section always, since a batch may take minutes and whoever begins to look wants to know of it.
All others are sections only while a clock is set. Time in a section is its own: that of sections inside it is theirs.
"""

import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

FLOW: Final = "flow"
"""Python code of the flow around its steps."""
INPUT: Final = "input"
"""The sources: reading, and waiting for what comes next."""
SNAPSHOT: Final = "snapshot"
"""The states that a snapshot holds."""


@dataclass(slots=True)
class SectionTime:
    """What one section of one thread took, in seconds."""

    wall: float = 0.0
    processor: float = 0.0
    batches: dict[int, list[float]] = field(default_factory=dict)
    """By the number of items: how many batches, and their seconds with what is inside."""


@dataclass(slots=True)
class _Open:
    name: str
    wall: float
    processor: float
    is_whole: bool = True
    """Whether its beginning was seen."""
    inner_wall: float = 0.0
    inner_processor: float = 0.0


class SectionClock:
    """Takes the time of the sections of all threads."""

    def __init__(self) -> None:
        self._open: dict[int, list[_Open]] = defaultdict(list)
        self._times: dict[int, dict[str, SectionTime]] = defaultdict(dict)

    def now_in(self, thread: int) -> str:
        """The innermost section of a thread; empty where it is in none."""
        stack = self._open.get(thread)
        try:
            return stack[-1].name if stack else ""
        except IndexError:  # it has just left it
            return ""

    def begin(self, thread: int, name: str, wall: float, processor: float) -> None:
        """Take note of a section that a thread is in already, at that time and with so much processor time.

        Does nothing where the thread has said so itself, since the clock was set.
        """
        if not self._open[thread]:
            self._open[thread].append(_Open(name, wall, processor, is_whole=False))

    def enter(self, name: str) -> None:
        """The calling thread enters a section."""
        stack = self._open[threading.get_ident()]
        if stack and stack[-1].name == name and not stack[-1].is_whole:
            stack.pop()  # it was taken note of just now, from outside
        stack.append(_Open(name, time.perf_counter(), time.thread_time()))

    def leave(self, name: str, items: int) -> None:
        """The calling thread leaves a section, in which it handled so many items."""
        stack = self._open[threading.get_ident()]
        if stack and stack[-1].name == name:
            self._close(threading.get_ident(), stack, time.perf_counter(), time.thread_time(), items)

    def end(self, thread: int, wall: float, processor: float) -> None:
        """Close all that a thread is in, at that time and with so much processor time."""
        stack = self._open[thread]
        while stack:
            stack[-1].is_whole = False
            self._close(thread, stack, wall, processor, 0)

    def times(self, thread: int) -> dict[str, SectionTime]:
        """What each section of a thread took."""
        return dict(self._times.get(thread, {}))

    def spent(self, thread: int, processor: float) -> dict[str, tuple[float, float]]:
        """Wall and processor seconds of each section of a thread up to now, what it is in included.

        Args:
            thread: Which must not run Python code meanwhile: who asks holds the interpreter's lock.
            processor: The processor time that it has.
        """
        spent = {name: (it.wall, it.processor) for name, it in self._times.get(thread, {}).items()}
        wall, now = time.perf_counter(), processor
        for it in reversed(self._open.get(thread, ())):
            before = spent.get(it.name, (0.0, 0.0))
            own = max(0.0, wall - it.wall - it.inner_wall), max(0.0, now - it.processor - it.inner_processor)
            spent[it.name] = before[0] + own[0], before[1] + own[1]
            wall, now = it.wall, it.processor  # of those around it, what came after is its own
        return spent

    def threads(self) -> list[int]:
        """All that were in a section."""
        return list(self._open)

    def _close(self, thread: int, stack: list[_Open], wall: float, processor: float, items: int) -> None:
        try:
            it = stack.pop()
        except IndexError:  # who takes the time has closed it just now
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
    """The sections of this process."""

    def __init__(self) -> None:
        self.clock: SectionClock | None = None
        """Set while somebody takes the time."""
        self.workers: dict[int, int] = {}
        """Threads that run the flow: the system's number of each by Python's."""
        self.steps: dict[int, str] = {}
        """The step that each thread is in."""

    def work(self) -> None:
        """The calling thread runs the flow."""
        self.workers[threading.get_ident()] = threading.get_native_id()

    def enter(self, step: str) -> str | None:
        """The calling thread enters a step; gives the one that it was in."""
        thread = threading.get_ident()
        outer = self.steps.get(thread)
        self.steps[thread] = step  # before the clock is looked at: who sets one looks at this after it
        clock = self.clock
        if clock is not None:
            clock.enter(step)
        return outer

    def leave(self, step: str, outer: str | None, items: int) -> None:
        """The calling thread leaves a step, in which it handled so many items, for the one that it was in."""
        thread = threading.get_ident()
        if outer is None:
            self.steps.pop(thread, None)
        else:
            self.steps[thread] = outer
        clock = self.clock
        if clock is not None:
            clock.leave(step, items)


SECTIONS: Final = Sections()
