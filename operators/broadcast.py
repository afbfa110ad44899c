"""Broadcast of items to every machine of a flow, which Bytewax lacks: it only distributes items.

The sink has one partition per machine, which only that machine's processes claim to be able to write, and each item is
emitted once per partition. A partition keeps no state. If a recovery folder knows partitions of a flow with more
machines, they are listed too, since Bytewax would fail otherwise, but receive nothing.
"""

import os
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Generic, TypeVar

from bytewax import operators as op
from bytewax.dataflow import Stream, operator
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from core.launch import Launch
from operators.recovered import full_id, keys_of
from operators.steps import map_batch, reported

X = TypeVar("X")


@operator
def broadcast_to_machines(
    step_id: str, up: Stream[X], recovery: Path | None, take: Callable[[list[X]], None], launch: Launch | None = None
) -> None:
    """Pass all items to `take` once per machine, in one of its processes; after a crash, items may be repeated.

    Args:
        step_id: Name of the step.
        up: The items.
        recovery: The recovery folder; None if the flow takes no snapshots.
        take: Called in one process of each machine.
        launch: How this process was launched; None: read from its arguments and environment.
    """
    number, machines = (launch or Launch.of(sys.argv[1:], os.environ)).share
    keys = [str(it) for it in range(machines)]
    keyed = map_batch("for_each", up, lambda batch: [(key, it) for it in batch for key in keys])
    known = keys_of(recovery, f"{full_id(up, step_id)}.told")
    op.output("told", keyed, _EachMachine(number, machines, known, take))


def _name(machine: int) -> str:
    return f"machine-{machine:06d}"


class _EachMachine(FixedPartitionedSink[X, None], Generic[X]):
    def __init__(self, number: int, machines: int, known: Collection[str], take: Callable[[list[X]], None]) -> None:
        self._own = _name(number)
        self._gone = sorted(set(known) - {_name(it) for it in range(machines)})
        self._take = take

    def list_parts(self) -> list[str]:
        return [self._own, *self._gone]

    def part_fn(self, item_key: str) -> int:
        """Return the index of a partition among all sorted names: those of removed machines sort last."""
        return int(item_key)

    @reported
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_MachinePart[X]":  # noqa: ARG002
        return _MachinePart(self._take)


class _MachinePart(StatefulSinkPartition[X, None]):
    def __init__(self, take: Callable[[list[X]], None]) -> None:
        self._take = take

    @reported
    def write_batch(self, values: list[X]) -> None:
        self._take(values)

    def snapshot(self) -> None:
        return None

    def close(self) -> Any:
        pass
