"""Why a flow fails, said where it does: Bytewax forgets the exception of a step where several processes run a flow."""

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any, Final

from bytewax.dataflow import Dataflow, Operator
from bytewax.inputs import AbortExecution

from operators.steps import FAILURES

_CALLED: Final = ("mapper", "predicate", "list_parts")
_MAKERS: Final = ("builder", "build_part")
_METHODS: Final = (
    *("next_batch", "next_awake", "write_batch", "on_batch", "on_notify", "on_eof", "notify_at"),
    *("snapshot", "close"),
)
_failures: list[Exception] = []

Call = Callable[..., Any]


def reported(flow: Dataflow) -> Dataflow:
    """Let the steps of `flow` say on stderr why it fails: one line for an error of ours, a traceback for any other."""
    for step in _steps(flow.substeps):
        for owner in (step, getattr(step, "source", None), getattr(step, "sink", None)):
            _wrap(owner, _CALLED, _reporting)
            _wrap(owner, _MAKERS, _making)
    return flow


def failure() -> Exception | None:
    """What was reported in this process; it came first, whatever came of it."""
    return _failures[0] if _failures else None


def _steps(steps: Sequence[Operator]) -> Iterator[Operator]:
    """Those that Bytewax runs; all others are made of them."""
    for step in steps:
        if getattr(step, "core", False):
            yield step
        yield from _steps(step.substeps)


def _wrap(owner: Any, names: tuple[str, ...], wrapper: Callable[[Call], Call]) -> None:
    for name in names:
        if callable(call := getattr(owner, name, None)):
            object.__setattr__(owner, name, wrapper(call))  # Bytewax's steps are frozen


def _reporting(call: Call) -> Call:
    @wraps(call)
    def reporting(*arguments: Any) -> Any:
        try:
            made = call(*arguments)
            return list(made) if isinstance(made, Iterator) else made  # a generator would fail later
        except (StopIteration, AbortExecution):  # what Bytewax asks for
            raise
        except Exception as error:
            _report(error)
            raise

    return reporting


def _making(call: Call) -> Call:
    """For what makes a part or a logic: its methods report too."""

    def making(*arguments: Any) -> Any:
        made = call(*arguments)
        _wrap(made, _METHODS, _reporting)
        return made

    return _reporting(making)


def _report(error: Exception) -> None:
    if _failures:
        return
    _failures.append(error)
    FAILURES.report(error)
