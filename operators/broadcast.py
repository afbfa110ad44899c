"""What every machine of a flow is told: Bytewax spreads items but has no broadcast.

So a sink has a part on each machine, which only the processes there say they can write, and an item goes out once for
each of them. A part keeps no state. One that a recovery folder knows of a flow over more machines is listed all the
same, or Bytewax would end, and gets nothing.
"""

import os
import sys
from collections.abc import Callable, Collection
from typing import Any, Generic, TypeVar

from bytewax import operators as op
from bytewax.dataflow import Stream, operator
from bytewax.outputs import FixedPartitionedSink, StatefulSinkPartition

from core.launch import Launch
from operators.operator_settings import OutputSettings
from operators.recovered import full_id, keys_of
from operators.steps import map_batch, reported

X = TypeVar("X")


@operator
def broadcast_to_machines(
    step_id: str, up: Stream[X], settings: OutputSettings, take: Callable[[list[X]], None], launch: Launch | None = None
) -> None:
    """Give all items to `take` once on each machine, in one of its processes; after a crash they may come again.

    Args:
        step_id: Name of the step.
        up: What is told.
        settings: Where the recovery folder is.
        take: Called in the process that a machine has chosen for it.
        launch: How the process was started; None: as it was.
    """
    number, machines = (launch or Launch.of(sys.argv[1:], os.environ)).share
    keys = [str(it) for it in range(machines)]
    keyed = map_batch("for_each", up, lambda batch: [(key, it) for it in batch for key in keys])
    known = keys_of(settings.recovery, f"{full_id(up, step_id)}.told")
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
        """The number of a part among all names in their order: those that are gone have higher numbers."""
        return int(item_key)

    @reported
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_Told[X]":  # noqa: ARG002
        return _Told(self._take)


class _Told(StatefulSinkPartition[X, None]):
    def __init__(self, take: Callable[[list[X]], None]) -> None:
        self._take = take

    @reported
    def write_batch(self, values: list[X]) -> None:
        self._take(values)

    def snapshot(self) -> None:
        return None

    def close(self) -> Any:
        pass
