"""What a line of the log holds: where it was written, and nothing of a stranger's that a terminal would act upon."""

import threading
import time
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar
from traceback import TracebackException
from typing import Any, Final

from core.sections import SECTIONS
from core.untrusted_text import one_line, sanitized, shortened

LogFields = MutableMapping[str, Any]

TRACE: Final[ContextVar[str]] = ContextVar("trace", default="")
"""Id of the trace that is being written, 32 hexadecimal digits."""

_DEEPEST: Final = 4
_MOST: Final = 50
"""Items of a list or an object that are told."""
_PLAIN: Final = (bool, int, float, type(None))


def with_place(worker: int | None) -> Callable[[object, str, LogFields], LogFields]:
    """Add to a line which worker process wrote it, in which thread, step and trace, where it does not say so itself.

    Args:
        worker: None for a terminal, where a person wants neither process nor thread.
    """

    def add(_logger: object, _method: str, fields: LogFields) -> LogFields:
        step = SECTIONS.steps.get(threading.get_ident())
        thread = threading.current_thread()
        is_told = worker is not None and thread is not threading.main_thread()
        for name, value in (
            ("worker", worker),
            ("thread", f"{thread.name} ({threading.get_native_id()})" if is_told else None),
            ("step", step),
            ("trace", TRACE.get() or None),
        ):
            if value is not None:
                fields.setdefault(name, value)
        return fields

    return add


def with_exception(_logger: object, _method: str, fields: LogFields) -> LogFields:
    """Put what `exc_info` holds into words, its messages each on one line."""
    error = fields.pop("exc_info", None)
    if isinstance(error, BaseException):
        fields["exception"] = traceback_of(error)
    return fields


def without_untrusted(_logger: object, _method: str, fields: LogFields) -> LogFields:
    """The same line, each name and value of it on one line, bounded, and without what a terminal would act upon."""
    return {
        one_line(str(name)): sanitized(value) if name == "exception" else told(value) for name, value in fields.items()
    }


def told(value: Any, depth: int = 0) -> Any:
    """What may stand in a line: numbers as they are, texts made harmless, and lists and objects of these."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Mapping) and depth < _DEEPEST:
        return {told(str(name)): told(value[name], depth + 1) for name in list(value)[:_MOST]}
    if isinstance(value, list | tuple | set | frozenset) and depth < _DEEPEST:
        return [told(item, depth + 1) for item in list(value)[:_MOST]]
    return one_line(shortened(str(value)))


def traceback_of(error: BaseException) -> str:
    """The traceback of an error and of what caused it; their messages are bounded, each on one line."""
    lines: list[str] = []
    caused: TracebackException | None = TracebackException.from_exception(error)
    while caused is not None and len(lines) < _MOST:
        message = one_line(shortened("".join(caused.format_exception_only()).strip()))
        lines = [*(line.rstrip("\n") for line in caused.stack.format()), message, *lines]
        caused = caused.__cause__ or (None if caused.__suppress_context__ else caused.__context__)
    return sanitized("\n".join(lines))


class Ration:
    """So many lines a minute about what strangers send, however much that is.

    Args:
        a_minute: Lines that are allowed.
        now: Seconds on a clock that only goes on.
    """

    def __init__(self, a_minute: int, now: Callable[[], float] = time.monotonic) -> None:
        self._most = a_minute
        self._now = now
        self._since = float("-inf")
        self._told = self._silent = 0

    def take(self) -> int | None:
        """None where nothing is to be said; else how often that was so since something was said last."""
        now = self._now()
        if now - self._since >= 60:
            self._since, self._told = now, 0
        if self._told >= self._most:
            self._silent += 1
            return None
        self._told += 1
        silent, self._silent = self._silent, 0
        return silent
