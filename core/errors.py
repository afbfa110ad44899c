"""The error tree.

Everything memewax raises on purpose derives from one class::

    MemewaxError               exit code 1
    ├── SettingsError          2   a setting is missing, misspelt or impossible
        ├── WorldError             3   something outside is broken: disk, broker, store
        │   ├── BusyError          3   another process holds what only one may hold at a time
        │   └── WeightsError       3   a model's weights are missing, or differ from the pinned hash
        └── BadRecordError         -   one record is bad; it becomes a dead letter and the flow goes on

A `MemewaxError` that reaches the top of a command is printed as one line; its text says what was found, what was
expected and what to do about it.
"""

import errno
import os
from typing import ClassVar, Final

NO_ROOM: Final = os.strerror(errno.ENOSPC)
"""The system's message for a full disk."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or the name of its class if it has no text.

    Libraries wrap the system's message for a full disk in text of their own; only that message is returned. OpenVINO
    first says where in its source it failed; these lines are skipped.
    """
    lines = (str(error).strip() or type(error).__name__).splitlines()
    line = next((it for it in lines if it.strip() and not it.startswith("Exception from ")), lines[0])
    return NO_ROOM if NO_ROOM in line else line


class MemewaxError(Exception):
    """Base of all errors raised on purpose; `exit_code` is the exit code of the command."""

    exit_code: ClassVar[int] = 1


class SettingsError(MemewaxError):
    """A setting is missing, unknown or out of range."""

    exit_code = 2


class WorldError(MemewaxError):
    """The environment is not as needed: a broker is down, a disk is full, permission is denied, a file is missing."""

    exit_code = 3


class BusyError(WorldError):
    """Another process holds a resource that only one may hold at a time."""


class WeightsError(WorldError):
    """A model's weights were not found, or do not have the pinned hash."""


class BadRecordError(MemewaxError):
    """One record cannot be used; the text is the reason. Always handled: the record becomes a dead letter."""
