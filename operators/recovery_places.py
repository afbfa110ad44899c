"""Determines which part of a recovery folder keeps a state, by the step's id and the state's key.

How Bytewax hashes the two is undocumented. So it is tried: a flow with steps of these ids takes a snapshot of each key
in an empty recovery folder, and each is looked up there.
"""

import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Collection
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from bytewax import operators as op
from bytewax.dataflow import Dataflow, Stream, operator
from bytewax.operators import StatefulBatchLogic
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import TestingSink, TestingSource, run_main

from core.errors import WorldError

StepState = tuple[str, str]
"""Id of a nested step, such as `memes.join.wait`, and key of one of its states."""


def places_of(states: Collection[StepState], parts: int) -> dict[StepState, int]:
    """Return the index of the part that keeps each state, in a recovery folder of `parts` parts."""
    keys: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for step_id, key in states:
        keys[step_id.partition(".")[0]][step_id].append(key)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        init_db_dir(folder, parts)  # type: ignore[no-untyped-call]
        recovery = RecoveryConfig(folder, timedelta(0))  # type: ignore[no-untyped-call]
        for flow_id, of_step in keys.items():
            flow = _flow(flow_id, of_step)
            run_main(flow, epoch_interval=timedelta(0), recovery_config=recovery)  # type: ignore[no-untyped-call]
        return {
            (step_id, key): number
            for number in range(parts)
            for step_id, key in states_in(folder / f"part-{number}.sqlite3")
        }


def parts_of(folder: Path) -> list[Path]:
    """List the parts of a recovery folder by index."""
    return sorted(folder.glob("part-*.sqlite3"), key=lambda part: int(part.stem.partition("-")[2]))


def states_in(part: Path) -> set[StepState]:
    """Return the states that a part of a recovery folder keeps."""
    with closing(sqlite3.connect(part)) as database:
        return set(database.execute("SELECT DISTINCT step_id, state_key FROM snaps"))


def has_snapshots(folder: Path) -> bool:
    """Check whether a recovery folder has a snapshot; raises `WorldError` if it cannot be read."""
    try:
        return any(states_in(part) for part in parts_of(folder))
    except sqlite3.Error as error:
        raise WorldError(f"{folder} cannot be read: {error}") from None


class _Kept(StatefulBatchLogic[None, None, int]):
    def on_batch(self, _: list[None]) -> tuple[list[None], bool]:
        return [], StatefulBatchLogic.RETAIN

    def snapshot(self) -> int:
        return 0


def _flow(flow_id: str, keys: dict[str, list[str]]) -> Dataflow:
    flow = Dataflow(flow_id)
    start = op.input("asked", flow, TestingSource([None]))
    inner: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for step_id, of_step in keys.items():
        _, outer, name = step_id.split(".")
        inner[outer][name] = of_step
    op.output(
        "answered", op.merge("all", *(_outer(name, start, steps) for name, steps in inner.items())), TestingSink([])
    )
    return flow


@operator
def _outer(step_id: str, up: Stream[None], steps: dict[str, list[str]]) -> Stream[None]:
    ends = []
    for name, keys in steps.items():
        keyed = op.flat_map(f"{name}_keys", up, lambda _, keys=keys: [(key, None) for key in keys])  # type: ignore[misc]
        kept = op.stateful_batch(name, keyed, lambda _: _Kept())
        ends.append(op.map(f"{name}_values", kept, lambda item: item[1]))
    return op.merge("all", *ends)
