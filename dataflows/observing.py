"""What can be seen of a running flow from outside: started with it, and told how it ends."""

import atexit
import sys
from collections.abc import Mapping
from typing import Any

from core.launch import Launch
from core.status_writer import FlowFacts, StatusWriter
from core.stranger_text import one_line
from operators.steps import FAILURES


class Observers:
    """Those who look at the flow of this process."""

    def __init__(self, facts: FlowFacts, launch: Launch) -> None:
        self._status = StatusWriter(facts, launch.process, launch.processes)

    def start(self) -> None:
        """Begin to look: the flow is about to load its models."""
        self._status.start()

    def ready(self, models: Mapping[str, str]) -> None:
        """Say that the flow is built, and what its models are, by stage; its end is said when the process ends."""
        self._status.ready(models)
        atexit.register(self.end)
        _OF_THIS_PROCESS.append(self)

    def end(self, error: BaseException | None = None) -> None:
        """Say how the flow has ended: as its steps say, or by an error; only the first time counts."""
        cause = FAILURES.first or error or getattr(sys, "last_value", None)
        self._status.end(None if cause is None else one_line(str(cause).strip() or type(cause).__name__))


_OF_THIS_PROCESS: list[Observers] = []


def tell_end(error: BaseException) -> None:
    """Say that the flow of this process has failed: for who ends it at once."""
    for it in _OF_THIS_PROCESS:
        it.end(error)


def names_of(loaded: Any) -> Mapping[str, str]:
    """Names of the models among what a flow has loaded; flows without models load something else."""
    names: Mapping[str, str] = getattr(loaded, "names", {})
    return names
