"""The error tree.

Everything memewax raises on purpose descends from one class::

    MemewaxError               exit code 1
    ├── SettingsError          2   a setting is missing, misspelt or impossible
    ├── WorldError             3   something outside is broken: disk, broker, store
    │   ├── BusyError          3   another process has what only one may have at a time
    │   └── WeightsError       3   a model's weights are nowhere to be found, or are not what was pinned
    └── BadRecordError              -   one record is bad; it becomes a dead letter and nothing stops

A `MemewaxError` that reaches the top of a command is printed as one line; its text says what was found, what was
expected and what to do about it.
"""

import errno
import os
from typing import ClassVar, Final

NO_ROOM: Final = os.strerror(errno.ENOSPC)
"""What the system says of a full disk."""


def first_line(error: BaseException) -> str:
    """The first line of an error's text, for an error of one line; its kind where it has no text.

    Of what libraries say around a full disk only that is left.
    """
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return NO_ROOM if NO_ROOM in line else line


class MemewaxError(Exception):
    """Base of all errors raised on purpose; `exit_code` is what a command ends with."""

    exit_code: ClassVar[int] = 1


class SettingsError(MemewaxError):
    """A setting is missing, unknown or out of range."""

    exit_code = 2


class WorldError(MemewaxError):
    """The world outside is not as needed: no broker, no room, no permission, a file that is gone."""

    exit_code = 3


class BusyError(WorldError):
    """Another process has it, and only one may at a time."""


class WeightsError(WorldError):
    """A model's weights were not found anywhere, or do not have the pinned hash."""


class BadRecordError(MemewaxError):
    """One record cannot be used; the reason is its text. Always handled: it becomes a dead letter."""
