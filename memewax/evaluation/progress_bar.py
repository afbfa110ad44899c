"""Progress bars on stderr."""

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from core.records import Failure
from models.base import In, Model, Out


class Steps:
    """Context manager that shows a progress bar on a terminal, and nothing elsewhere."""

    def __init__(self, what: str, total: int) -> None:
        console = Console(file=sys.stderr)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task(what, total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def advance(self, count: int) -> None:
        """Report that `count` more items are done."""
        self._progress.advance(self._task, count)


def answers(what: str, model: Model[In, Out], items: Sequence[In]) -> list[Out | Failure]:
    """Run the model on all items in batches, with a progress bar; return its answers in order."""
    found: list[Out | Failure] = []
    with Steps(what, len(items)) as steps:
        for start in range(0, len(items), model.batch_size):
            batch = items[start : start + model.batch_size]
            found += model(batch)
            steps.advance(len(batch))
    return found
