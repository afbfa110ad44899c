"""Adapters between our callables, logic, sources and sinks and Bytewax, with error reports and metrics.

If several processes run a flow, Bytewax loses the exception of a step. So everything that is passed to Bytewax here
reports its first error on stderr before raising it: one line for an error of ours, otherwise a log line with a
traceback. A step with a name in the metrics (`measured`) is timed and counted under it, a batch at a time.

Every step of a flow is made here; only operators without a callable, such as `merge`, come from Bytewax directly.
"""

import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Final, TypeVar, cast

from bytewax import operators as op
from bytewax.dataflow import Dataflow, Stream
from bytewax.inputs import AbortExecution, FixedPartitionedSource, StatefulSourcePartition
from bytewax.operators import BranchOut, KeyedStream, StatefulBatchLogic
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from connectors.sinks.sink import Mark, Sink, Writer
from core.activity import ACTIVITY
from core.errors import MemewaxError
from core.sections import FLOW, INPUT, SECTIONS, SNAPSHOT
from core.telemetry import log, step
from core.untrusted_text import one_line
from operators.measured_snapshot import take_snapshot

Marks = Mapping[str, Mark]
_NO_MARKS: Final[Marks] = {}

X = TypeVar("X")
Y = TypeVar("Y")
S = TypeVar("S")
Call = TypeVar("Call", bound=Callable[..., Any])


class Failures:
    """The errors of the flow in this process; the first one is the cause of the others."""

    def __init__(self) -> None:
        self.first: Exception | None = None

    def report(self, error: Exception) -> None:
        """Report an error on stderr, unless another one was reported before."""
        if self.first is not None:
            return
        self.first = error
        if isinstance(error, MemewaxError):
            print(one_line(f"memewax: {error}"), file=sys.stderr, flush=True)
        else:
            log.error("a step of the flow failed", exc_info=error)


FAILURES: Final = Failures()
_SECTIONS: Final = {"next_batch": INPUT, "snapshot": SNAPSHOT}


def reported(call: Call) -> Call:
    """Wrap `call` to report what it raises, except Bytewax's control flow (StopIteration, AbortExecution).

    Its time counts as input, snapshot or flow, by the name of `call`.
    """
    section = _SECTIONS.get(call.__name__, FLOW)

    @wraps(call)
    def reporting(*arguments: Any) -> Any:
        clock = SECTIONS.clock
        if clock is not None:
            clock.enter(section)
        try:
            return call(*arguments)
        except (StopIteration, AbortExecution):
            raise
        except Exception as error:
            FAILURES.report(error)
            raise
        finally:
            if clock is not None:
                clock.leave(section, 0)

    return cast("Call", reporting)


def map_batch(
    step_id: str, up: Stream[X], mapper: Callable[[list[X]], Iterable[Y]], *, measured: str | None = None
) -> Stream[Y]:
    """Map a whole batch at once; `measured` is its name in the metrics."""
    if measured is None:
        return op.flat_map_batch(step_id, up, reported(lambda batch: list(mapper(batch))))
    name = measured

    def measuring(batch: list[X]) -> list[Y]:
        with step(name, len(batch), batch):
            return list(mapper(batch))

    return op.flat_map_batch(step_id, up, reported(measuring))


def map_each(step_id: str, up: Stream[X], mapper: Callable[[X], Y]) -> Stream[Y]:
    """Map each item."""
    return op.map(step_id, up, reported(mapper))


def split(step_id: str, up: Stream[X], predicate: Callable[[X], bool]) -> BranchOut[X, X]:
    """Split a stream by a predicate, into `trues` and `falses`."""
    return op.branch(step_id, up, reported(predicate))


def stateful(
    step_id: str,
    up: KeyedStream[X],
    build: Callable[[S | None], StatefulBatchLogic[X, Y, S]],
    *,
    measured: str | None = None,
    many_keys: bool = False,
) -> KeyedStream[Y]:
    """Pass the items of each key to its own logic, which `build` makes from a snapshot, or from None.

    With `many_keys`, batches are many and small: they are timed without a context manager around each.
    """

    def measured_logic(state: S | None) -> _MeasuredLogic[X, Y, S]:
        return _MeasuredLogic(build(state), step_id, measured, many_keys=many_keys)

    return op.stateful_batch(step_id, up, reported(measured_logic))


def read(step_id: str, flow: Dataflow, source: FixedPartitionedSource[X, Any]) -> Stream[X]:
    """Read `source` into the flow."""
    return op.input(step_id, flow, _SourceOfBytewax(source))


def write(step_id: str, up: KeyedStream[X], sink: Sink[X], marks: Marks = _NO_MARKS) -> None:
    """Check `sink`, and write the values of keyed items to it; raises what the check raises.

    Args:
        step_id: Name of the step.
        up: The items by key.
        sink: The sink.
        marks: Marks of the step in the recovery folder, by partition.
    """
    sink.check()
    op.output(step_id, up, _SinkOfBytewax(sink, marks, step_id))


class _MeasuredLogic(StatefulBatchLogic[X, Y, S]):
    def __init__(
        self, logic: StatefulBatchLogic[X, Y, S], step_id: str, measured: str | None, *, many_keys: bool
    ) -> None:
        self._logic = logic
        self._step_id = step_id
        self._measured = measured
        self._many_keys = many_keys
        self._step = step(measured) if measured is not None else None
        SECTIONS.work()

    @reported
    def on_batch(self, values: list[X]) -> tuple[Iterable[Y], bool]:
        if self._step is None:
            return self._logic.on_batch(values)
        if self._many_keys and self._step.is_only_measured():
            start = time.perf_counter()
            answer = self._logic.on_batch(values)
            self._step.took(time.perf_counter() - start, len(values))
            return answer
        with self._step.next(values):
            return self._logic.on_batch(values)

    @reported
    def on_notify(self) -> tuple[Iterable[Y], bool]:
        return self._logic.on_notify()

    @reported
    def on_eof(self) -> tuple[Iterable[Y], bool]:
        return self._logic.on_eof()

    @reported
    def notify_at(self) -> datetime | None:
        return self._logic.notify_at()

    @reported
    def snapshot(self) -> S:
        return cast("S", take_snapshot(self._measured or self._step_id, self._logic.snapshot))


class _SourceOfBytewax(FixedPartitionedSource[X, Any]):
    """Wraps a source so that its partitions record their activity (`Activity`)."""

    def __init__(self, source: FixedPartitionedSource[X, Any]) -> None:
        self._source = source

    def list_parts(self) -> list[str]:
        ACTIVITY.begun.set()  # Bytewax calls this when it builds the flow, once all processes are connected
        return self._source.list_parts()

    def build_part(self, step_id: str, for_part: str, resume_state: Any) -> "_PartOfBytewax[X]":
        return _PartOfBytewax(self._source.build_part(step_id, for_part, resume_state))


class _PartOfBytewax(StatefulSourcePartition[X, Any]):
    def __init__(self, part: StatefulSourcePartition[X, Any]) -> None:
        self._part = part
        ACTIVITY.opened(self)
        SECTIONS.work()

    def next_batch(self) -> Iterable[X]:
        ACTIVITY.polled(self)
        batch = self._part.next_batch()
        if batch:
            ACTIVITY.emitted(self)
        return batch

    def next_awake(self) -> datetime | None:
        awake = self._part.next_awake()
        wait = 0.0 if awake is None else (awake - datetime.now(UTC)).total_seconds()
        ACTIVITY.due(self, time.monotonic() + wait)
        return awake

    def snapshot(self) -> Any:
        ACTIVITY.snapshot(self)
        return self._part.snapshot()

    def close(self) -> None:
        ACTIVITY.closed(self)
        self._part.close()


class _SinkOfBytewax(FixedPartitionedSink[X, Any]):
    """Adapts a `Sink` to Bytewax. It also lists the removed partitions for which the recovery folder holds a mark.

    A partition keeps its first name, even if it was moved.
    """

    def __init__(self, sink: Sink[X], marks: Marks, step_id: str) -> None:
        self._sink = sink
        self._step_id = step_id
        own = sink.parts()
        self._part_of: dict[str, str] = {}
        free = [name for name in marks if name not in own]
        for part in own:
            moved = (name for name in free if part not in marks and sink.was_called(name, part, marks[name]))
            name = next(moved, part)
            self._part_of[name] = part
            free = [it for it in free if it != name]
        self._names = sorted({*self._part_of, *marks})
        self._numbers = [self._names.index(name) for name in self._part_of]

    def list_parts(self) -> list[str]:
        return self._names

    def part_fn(self, item_key: str) -> int:
        """Return the index of a partition among the sorted names."""
        return self._numbers[self._sink.hash_of_key(item_key) % len(self._numbers)]

    @reported
    def build_part(self, step_id: str, for_part: str, resume_state: Mark) -> "_WriterOfBytewax[X]":  # noqa: ARG002
        part = self._part_of.get(for_part)
        writer = _Gone(resume_state) if part is None else self._sink.open(part, resume_state)
        return _WriterOfBytewax(writer, self._step_id)


class _Gone(Writer[Any]):
    """Writer of a removed partition: it keeps only the mark."""

    def __init__(self, mark: Mark) -> None:
        self._mark = mark

    def write(self, items: list[Any]) -> None:
        raise AssertionError(f"{len(items)} items for a removed partition")

    def snapshot(self) -> Mark:
        return self._mark

    def close(self) -> None:
        pass


class _WriterOfBytewax(StatefulSinkPartition[X, Any]):
    def __init__(self, writer: Writer[X], step_id: str) -> None:
        self._writer = writer
        self._step_id = step_id
        SECTIONS.work()

    @reported
    def write_batch(self, values: list[X]) -> None:
        self._writer.write(values)

    @reported
    def snapshot(self) -> Mark:
        return cast("Mark", take_snapshot(self._step_id, self._writer.snapshot))

    @reported
    def close(self) -> None:
        self._writer.close()
