"""Finds where a flow will resume, and drops snapshots that it must not restore later.

Bytewax resumes at the first epoch that not all workers have finished, and numbers epochs from there again. It leaves
the snapshots of this and later epochs that a killed execution took, and overwrites one only if the new execution takes
a snapshot of the same key in the same epoch. Otherwise a later resume restores it, although what it describes was
undone: the join would drop a post as joined whose record was truncated from the file. So they are dropped before each
start.
"""

import sqlite3
from contextlib import closing
from datetime import timedelta
from functools import reduce
from operator import or_
from pathlib import Path

from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.run import cli_main

from core.errors import WorldError
from core.launch import Launch
from core.telemetry import log
from operators.broadcast import broadcast_to_machines
from operators.recovery_check import is_whole
from operators.recovery_places import parts_of
from operators.recovery_progress import RecoveryProgress, progress_of


def prepare_resume(folder: Path, launch: Launch) -> None:
    """Drop the snapshots of a recovery folder that an execution took which was killed before it finished their epoch.

    Every process of a flow calls this before it starts. If each machine has a folder of its own, it waits for all of
    them, as the flow itself does.

    Args:
        folder: The recovery folder.
        launch: How this process was launched.

    Raises:
        WorldError: if the folder cannot be read or written.
    """
    if not parts_of(folder):
        return
    progress = progress_of(folder)
    if is_whole(folder):
        if launch.process == 0:  # before the others can start, since a flow waits for all of its processes
            drop_discarded(folder, progress)
        return
    others = exchange_progress(progress, launch)
    if others:  # in one process of each machine
        drop_discarded(folder, reduce(or_, others))


def drop_discarded(folder: Path, progress: RecoveryProgress) -> int:
    """Delete the snapshots of a folder from the epoch at which the flow will resume; return how many there were.

    Raises:
        WorldError: if the folder cannot be written.
    """
    epoch = progress.resume_epoch
    if epoch is None:
        return 0
    dropped = 0
    for part in parts_of(folder):
        try:
            with closing(sqlite3.connect(part)) as database, database:
                if database.execute("SELECT 1 FROM snaps WHERE snap_epoch >= ? LIMIT 1", (epoch,)).fetchone():
                    dropped += database.execute("DELETE FROM snaps WHERE snap_epoch >= ?", (epoch,)).rowcount
        except sqlite3.Error as error:
            raise WorldError(f"{part} cannot be written: {error}") from None
    if dropped:
        log.info("snapshots of unfinished epochs dropped", folder=str(folder), epoch=epoch, snapshots=dropped)
    return dropped


def exchange_progress(progress: RecoveryProgress, launch: Launch) -> list[RecoveryProgress]:
    """Exchange progress among processes; return that of all in one process per machine, and [] in the others.

    The processes exchange it by a small flow between the addresses of the flow itself.
    """
    received: list[RecoveryProgress] = []
    flow = Dataflow("progress")
    known = op.input("known", flow, _Known(progress))
    broadcast_to_machines("exchange", known, None, received.extend, launch)
    where = {"process_id": launch.process, "addresses": list(launch.addresses)}
    cli_main(flow, epoch_interval=timedelta(0), **where)  # type: ignore[no-untyped-call]
    return received


class _Known(DynamicSource[RecoveryProgress]):
    """Emits the progress that this process knows of."""

    def __init__(self, progress: RecoveryProgress) -> None:
        self._progress = progress

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "_KnownPart":  # noqa: ARG002
        return _KnownPart(self._progress)


class _KnownPart(StatelessSourcePartition[RecoveryProgress]):
    def __init__(self, progress: RecoveryProgress) -> None:
        self._batches = iter([[progress]])

    def next_batch(self) -> list[RecoveryProgress]:
        return next(self._batches)
