"""Log processors: add where a line was logged, and sanitise untrusted text that a terminal would act upon."""

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
"""Id of the current trace, 32 hexadecimal digits."""

_DEEPEST: Final = 4
_MOST: Final = 50
"""Items of a list or an object that are logged."""
_PLAIN: Final = (bool, int, float, type(None))


def with_place(worker: int | None) -> Callable[[object, str, LogFields], LogFields]:
    """Return a processor that adds worker process, thread, step and trace, unless the line already has them.

    Args:
        worker: Index of the process; None for a terminal, where neither process nor thread is of interest.
    """

    def add(_logger: object, _method: str, fields: LogFields) -> LogFields:
        step = SECTIONS.steps.get(threading.get_ident())
        thread = threading.current_thread()
        has_thread = worker is not None and thread is not threading.main_thread()
        for name, value in (
            ("worker", worker),
            ("thread", f"{thread.name} ({threading.get_native_id()})" if has_thread else None),
            ("step", step),
            ("trace", TRACE.get() or None),
        ):
            if value is not None:
                fields.setdefault(name, value)
        return fields

    return add


def with_exception(_logger: object, _method: str, fields: LogFields) -> LogFields:
    """Format the exception in `exc_info`, each message of its chain on one line."""
    error = fields.pop("exc_info", None)
    if isinstance(error, BaseException):
        fields["exception"] = traceback_of(error)
    return fields


def without_untrusted(_logger: object, _method: str, fields: LogFields) -> LogFields:
    """Sanitise each name and value: bounded, on one line, and without what a terminal would act upon."""
    return {
        one_line(str(name)): sanitized(value) if name == "exception" else loggable(value)
        for name, value in fields.items()
    }


def loggable(value: Any, depth: int = 0) -> Any:
    """Convert a value to what a line may hold: numbers unchanged, texts sanitised, and lists and objects of these."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Mapping) and depth < _DEEPEST:
        return {loggable(str(name)): loggable(value[name], depth + 1) for name in list(value)[:_MOST]}
    if isinstance(value, list | tuple | set | frozenset) and depth < _DEEPEST:
        return [loggable(item, depth + 1) for item in list(value)[:_MOST]]
    return one_line(shortened(str(value)))


def traceback_of(error: BaseException) -> str:
    """Format the traceback of an error and of its causes; messages are bounded, each on one line."""
    lines: list[str] = []
    caused: TracebackException | None = TracebackException.from_exception(error)
    while caused is not None and len(lines) < _MOST:
        message = one_line(shortened("".join(caused.format_exception_only()).strip()))
        lines = [*(line.rstrip("\n") for line in caused.stack.format()), message, *lines]
        caused = caused.__cause__ or (None if caused.__suppress_context__ else caused.__context__)
    return sanitized("\n".join(lines))


class LogRateLimiter:
    """Rate limit for log lines about untrusted input, of which there may be any amount.

    Args:
        a_minute: Lines that are allowed per minute.
        now: Monotonic clock, in seconds.
    """

    def __init__(self, a_minute: int, now: Callable[[], float] = time.monotonic) -> None:
        self._most = a_minute
        self._now = now
        self._since = float("-inf")
        self._logged = self._silent = 0

    def take(self) -> int | None:
        """Return None if the line must be dropped, else the number of lines dropped since the last one allowed."""
        now = self._now()
        if now - self._since >= 60:
            self._since, self._logged = now, 0
        if self._logged >= self._most:
            self._silent += 1
            return None
        self._logged += 1
        silent, self._silent = self._silent, 0
        return silent
