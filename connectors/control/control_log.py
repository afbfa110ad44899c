"""Requests to the flow that writes a store: numbered files in a folder, each done once and in order.

Any process may add one; it is there as a whole or not at all. Whoever does it marks it as done, by a file beside it,
once that can no longer be lost, and empties it: what it said may be of a post that is deleted. So a request is open
until it has a mark.
"""

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import orjson

from connectors.control.request_kinds import KINDS
from core.errors import BadRecordError, SettingsError, WorldError
from core.locks import locked

FOLDER: Final = "control"
"""Of a log, in a store or in `state_dir`."""
MAX_BYTES: Final = 2**20
"""A larger file is no request."""
KEPT: Final = 1000
"""Requests that are kept after they were done."""
_VERSION: Final = 1
_IDENTITY: Final = "identity"
_NAME: Final = re.compile(r"([0-9]{12})\.json")
_TICK_NS: Final = 2 * 10**9
"""A folder whose time is older has not changed since it was listed: some disks count in whole seconds."""


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for."""

    log: str
    """Folder of the log that it is in."""
    number: int
    """Its place in the log, from 1."""
    kind: str
    """One of `KINDS`."""
    body: Mapping[str, Any]


class ControlLog:
    """The log in a folder, which is made with the first request."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._listed_at = -1
        self._numbers: list[int] = []

    @property
    def identity(self) -> str:
        """Of this log, wherever its folder is moved to; empty where it has no request yet. Raises `WorldError`."""
        try:
            return (self.folder / _IDENTITY).read_text().strip()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise WorldError(f"{self.folder}: {error.strerror}") from None

    def add(self, kind: str, body: Mapping[str, Any]) -> Request:
        """Add a request; raises `SettingsError` where it is none, `WorldError` where it cannot be written."""
        try:
            _check(kind, body)
        except BadRecordError as error:
            raise SettingsError(str(error)) from None
        told = {"version": _VERSION, "kind": kind, "time": datetime.now(UTC).isoformat(), "body": body}
        data = orjson.dumps(told)
        if len(data) > MAX_BYTES:
            raise SettingsError(
                f"a request of {len(data):,} bytes; at most {MAX_BYTES:,} are taken: ask for less at once"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / "add.lock"):
                if not self.identity:
                    self._write(self.folder / _IDENTITY, uuid4().hex.encode())
                number = max(self._list(), default=0) + 1
                self._write(self._file(number), data)
        except OSError as error:
            raise WorldError(f"{self.folder}: {error.strerror}") from None
        return Request(str(self.folder), number, kind, body)

    def open_after(self, number: int, most: int) -> list[Request]:
        """The first open requests after a number, in order; one that cannot be read is marked as refused.

        Costs the look at the folder's time where nothing was added. Raises `WorldError`.
        """
        found: list[Request] = []
        for it in self._fresh_list():
            if it > number and len(found) < most and not self._mark_of(it).exists():
                try:
                    found.append(self._read(it))
                except BadRecordError as error:
                    self.mark(it, f"refused: {error}")
        return found

    def mark(self, number: int, result: str) -> None:
        """Say that a request was done, and how; forgets those that were done long before. Raises `WorldError`."""
        told = {"version": _VERSION, "time": datetime.now(UTC).isoformat(), "result": result}
        try:
            self._write(self._mark_of(number), orjson.dumps(told))
            self._empty(number)
            for file in (self._file(number - KEPT), self._mark_of(number - KEPT)):
                file.unlink(missing_ok=True)
        except OSError as error:
            raise WorldError(f"{self.folder}: {error.strerror}") from None

    def empty_done(self) -> None:
        """Take out what requests said that are done: who marks one may die before that. Raises `WorldError`."""
        try:
            for it in self._list() if self.folder.is_dir() else []:
                if self._mark_of(it).exists():
                    self._empty(it)
        except OSError as error:
            raise WorldError(f"{self.folder}: {error.strerror}") from None

    def result(self, number: int) -> str | None:
        """What the mark of a request says; None while it is open."""
        try:
            return str(orjson.loads(self._mark_of(number).read_bytes())["result"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WorldError(f"{self._mark_of(number)} cannot be read: {error}") from None

    def _empty(self, number: int) -> None:
        """Keep the number of a request that is done, and nothing of what it said: that may name what was deleted."""
        file = self._file(number)
        if file.exists() and file.stat().st_size:
            self._write(file, b"")

    def _file(self, number: int) -> Path:
        return self.folder / f"{max(number, 0):012d}.json"

    def _mark_of(self, number: int) -> Path:
        return self.folder / f"{max(number, 0):012d}.done.json"

    def _list(self) -> list[int]:
        return sorted(int(match[1]) for file in self.folder.iterdir() if (match := _NAME.fullmatch(file.name)))

    def _fresh_list(self) -> list[int]:
        try:
            changed = self.folder.stat().st_mtime_ns
            if changed != self._listed_at or time.time_ns() - changed < _TICK_NS:
                self._listed_at, self._numbers = changed, self._list()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise WorldError(f"{self.folder}: {error.strerror}") from None
        return self._numbers

    def _read(self, number: int) -> Request:
        file = self._file(number)
        try:
            if file.stat().st_size > MAX_BYTES:
                raise BadRecordError(f"of more than {MAX_BYTES} bytes")
            told = orjson.loads(file.read_bytes())
        except OSError as error:
            raise WorldError(f"{file}: {error.strerror}") from None
        except orjson.JSONDecodeError as error:
            raise BadRecordError(f"not JSON: {error}") from None
        if not isinstance(told, dict) or told.get("version") != _VERSION or not isinstance(told.get("body"), dict):
            raise BadRecordError(f'expected {{"version": {_VERSION}, "kind": …, "body": {{…}}}}')
        _check(told.get("kind"), told["body"])
        return Request(str(self.folder), number, told["kind"], told["body"])

    def _write(self, file: Path, data: bytes) -> None:
        """Whole or not at all, and on the disk."""
        draft = self.folder / f".{uuid4().hex}.draft"
        with draft.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(file)


def _check(kind: Any, body: Mapping[str, Any]) -> None:
    known = KINDS.get(kind) if isinstance(kind, str) else None
    if known is None:
        raise BadRecordError(f"a request of kind {str(kind)[:40]!r}; this memewax knows {', '.join(KINDS)}")
    known.check(body)
