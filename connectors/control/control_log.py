"""Requests to the flow that writes a store: numbered files in a folder, done in order.

Any process may add a request; files are written atomically. Once the effect of a request is durable, its executor marks
it as done with a second file, and empties the first: it may contain data of a deleted post. A request is open until it
has a mark.
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
"""Name of a log's folder, in a store or in `state_dir`."""
MAX_BYTES: Final = 2**20
"""Maximum size of a request."""
KEPT: Final = 1000
"""Number of completed requests to keep."""
_VERSION: Final = 1
_IDENTITY: Final = "identity"
_NAME: Final = re.compile(r"([0-9]{12})\.json")
_TICK_NS: Final = 2 * 10**9
"""Modification times may be this coarse (whole seconds on some disks), so a newer folder is listed again."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request in a control log."""

    log: str
    """Folder of its log."""
    number: int
    """Its number in the log, from 1."""
    kind: str
    """One of `KINDS`."""
    body: Mapping[str, Any]


class ControlLog:
    """The control log in a folder, which is created with the first request."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._listed_at = -1
        self._numbers: list[int] = []

    @property
    def identity(self) -> str:
        """Return the id of this log, which survives a move; "" before the first request. Raises `WorldError`."""
        try:
            return (self.folder / _IDENTITY).read_text().strip()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise WorldError(f"cannot read {self.folder}: {error.strerror}") from None

    def add(self, kind: str, body: Mapping[str, Any]) -> Request:
        """Add a request; raises `SettingsError` if it is invalid, `WorldError` if it cannot be written."""
        try:
            _check(kind, body)
        except BadRecordError as error:
            raise SettingsError(str(error)) from None
        data = orjson.dumps({"version": _VERSION, "kind": kind, "time": datetime.now(UTC).isoformat(), "body": body})
        if len(data) > MAX_BYTES:
            raise SettingsError(
                f"a request of {len(data):,} bytes; at most {MAX_BYTES:,} are allowed: split it into smaller ones"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / "add.lock"):
                if not self.identity:
                    self._write(self.folder / _IDENTITY, uuid4().hex.encode())
                number = max(self._list(), default=0) + 1
                self._write(self._file(number), data)
        except OSError as error:
            raise WorldError(f"cannot write {self.folder}: {error.strerror}") from None
        return Request(str(self.folder), number, kind, body)

    def open_after(self, number: int, most: int) -> list[Request]:
        """Return the first `most` open requests after a number, in order; an invalid one is marked as refused.

        Without new requests, this costs one `stat` of the folder. Raises `WorldError`.
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
        """Mark a request as done, with its result, and delete old completed requests. Raises `WorldError`."""
        mark = {"version": _VERSION, "time": datetime.now(UTC).isoformat(), "result": result}
        try:
            self._write(self._mark_of(number), orjson.dumps(mark))
            self._empty(number)
            for file in (self._file(number - KEPT), self._mark_of(number - KEPT)):
                file.unlink(missing_ok=True)
        except OSError as error:
            raise WorldError(f"cannot write {self.folder}: {error.strerror}") from None

    def empty_done(self) -> None:
        """Empty completed requests, as a process may die between marking and emptying one. Raises `WorldError`."""
        try:
            for it in self._list() if self.folder.is_dir() else []:
                if self._mark_of(it).exists():
                    self._empty(it)
        except OSError as error:
            raise WorldError(f"cannot write {self.folder}: {error.strerror}") from None

    def result(self, number: int) -> str | None:
        """Return the result of a request; None while it is open. Raises `WorldError`."""
        try:
            return str(orjson.loads(self._mark_of(number).read_bytes())["result"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WorldError(f"{self._mark_of(number)} cannot be read: {error}") from None

    def _empty(self, number: int) -> None:
        """Empty the file of a completed request, since its body may name deleted posts; the file keeps the number."""
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
            raise WorldError(f"cannot read {self.folder}: {error.strerror}") from None
        return self._numbers

    def _read(self, number: int) -> Request:
        file = self._file(number)
        try:
            if file.stat().st_size > MAX_BYTES:
                raise BadRecordError(f"of more than {MAX_BYTES} bytes")
            content = orjson.loads(file.read_bytes())
        except OSError as error:
            raise WorldError(f"cannot read {file}: {error.strerror}") from None
        except orjson.JSONDecodeError as error:
            raise BadRecordError(f"not JSON: {error}") from None
        if (
            not isinstance(content, dict)
            or content.get("version") != _VERSION
            or not isinstance(content.get("body"), dict)
        ):
            raise BadRecordError(f'expected {{"version": {_VERSION}, "kind": …, "body": {{…}}}}')
        _check(content.get("kind"), content["body"])
        return Request(str(self.folder), number, content["kind"], content["body"])

    def _write(self, file: Path, data: bytes) -> None:
        """Write a file atomically and durably."""
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
