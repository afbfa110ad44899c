"""How far the executions of a flow came, by its recovery folder, and so the epoch at which Bytewax will resume."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from core.errors import WorldError
from operators.recovery_places import parts_of


class Execution(NamedTuple):
    """A start of a flow."""

    number: int
    workers: int
    resume_epoch: int
    """Its first epoch."""


class Frontier(NamedTuple):
    """How far a worker came in an execution."""

    execution: int
    worker: int
    epoch: int
    """The first epoch that it did not finish."""


class RecoveryProgress(NamedTuple):
    """All that some parts of a recovery folder know of executions: each part has some rows."""

    executions: frozenset[Execution] = frozenset()
    frontiers: frozenset[Frontier] = frozenset()

    def __or__(self, other: "RecoveryProgress") -> "RecoveryProgress":
        """Combine what the parts of two machines know."""
        return RecoveryProgress(self.executions | other.executions, self.frontiers | other.frontiers)

    @property
    def resume_epoch(self) -> int | None:
        """Return the epoch at which Bytewax will resume, if this is of all parts; None if no flow has run."""
        if not self.executions:
            return None
        last = max(self.executions)
        reached = {it.worker: it.epoch for it in self.frontiers if it.execution == last.number}
        return min(reached.get(worker, last.resume_epoch) for worker in range(last.workers))


def progress_of(folder: Path) -> RecoveryProgress:
    """Read what the parts of a recovery folder know of executions; raises `WorldError` if they cannot be read."""
    executions: set[Execution] = set()
    frontiers: set[Frontier] = set()
    for part in parts_of(folder):
        try:
            with closing(sqlite3.connect(f"file:{part}?mode=ro", uri=True)) as database:
                found = database.execute("SELECT ex_num, worker_count, resume_epoch FROM exs")
                executions.update(Execution(*row) for row in found)
                found = database.execute("SELECT ex_num, worker_index, worker_frontier FROM fronts")
                frontiers.update(Frontier(*row) for row in found)
        except sqlite3.Error as error:
            raise WorldError(f"{part} is not part of a recovery folder: {error}") from None
    return RecoveryProgress(frozenset(executions), frozenset(frontiers))
