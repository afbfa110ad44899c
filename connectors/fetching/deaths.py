"""How often a process ended while a picture was being decoded: memory, or a codec's crash, asks nobody.

Each process keeps a file of slots, locked as long as it lives, and in each slot the hash of a picture that one of its
threads decodes just now. What was written there outlives a process that is killed, without being flushed, so that
noting a picture costs some microseconds. A process that starts finds the files of those that have ended: each picture
that was left there is a suspect, and is to be decoded alone, so that only one is left the next time.
"""

import fcntl
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import Final
from uuid import uuid4

import orjson

from connectors.fetching.outcomes import FetchError, Outcome
from core.errors import WorldError
from core.locks import locked

_MOST: Final = 3
"""Deaths of a process at a picture; then it is tried no more."""
_SUSPECTS: Final = "suspects.json"
_HASH_BYTES: Final = 16
_FREE: Final = bytes(_HASH_BYTES)

_open: Final[list[int]] = []
"""Files of slots of this process."""


class Deaths:
    """Knows the pictures that processes ended at, in a folder that outlives them; for any number of threads."""

    def __init__(self, folder: Path) -> None:
        """Count what processes that have ended left; raises `WorldError` where the folder cannot be read or written."""
        self._folder = folder
        self._file = folder / _SUSPECTS
        self._lock = Lock()
        self._free: list[int] = []
        self._slots = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder):
                self._count_the_ended()
                self._descriptor = _file_of_slots(folder)
        except OSError as error:
            raise WorldError(f"{folder}: {error.strerror}") from None

    @contextmanager
    def noted(self, data: bytes, alone: Callable[[], AbstractContextManager[object]]) -> Iterator[bool]:
        """Note that a picture is decoded for the block; it is no suspect any more when the block has ended.

        Args:
            data: Its bytes.
            alone: Waits until nothing else is decoded, and keeps it so; entered for a suspect.

        Yields:
            Whether it was entered.

        Raises:
            FetchError: where three processes have ended at this picture.
        """
        key = _hash(data)
        deaths = self._deaths.get(key.hex(), 0)
        if deaths >= _MOST:
            reason = f"it ended the process {deaths} times; delete {self._file} to have it tried again"
            raise FetchError(Outcome.FATAL, reason)
        with alone() if deaths else nullcontext():
            slot = self._taken()
            self._write(slot, key)
            try:
                yield deaths > 0
            finally:
                self._write(slot, _FREE)
                self._free.append(slot)
                if deaths:
                    self._acquit(key.hex())

    def _taken(self) -> int:
        with self._lock:
            if not self._free:
                self._free.append(self._slots)
                self._slots += 1
            return self._free.pop()

    def _write(self, slot: int, key: bytes) -> None:
        with suppress(OSError):  # a full disk stops no picture
            os.pwrite(self._descriptor, key, slot * _HASH_BYTES)

    def _count_the_ended(self) -> None:
        self._deaths = _suspects(self._file)
        ended = [file for file in self._folder.glob("*.slots") if not _is_alive(file)]
        left = Counter(key for file in ended for key in _left_in(file))
        if left:
            self._deaths.update(left)
            self._keep(self._deaths)
        for file in ended:
            file.unlink()

    def _acquit(self, key: str) -> None:
        with self._lock, suppress(OSError, WorldError), locked(self._folder):
            self._deaths.pop(key, None)
            there = _suspects(self._file)  # another process of the flow may know more
            there.pop(key, None)
            self._keep(there)

    def _keep(self, deaths: Counter[str]) -> None:
        new = self._file.with_suffix(".new")
        new.write_bytes(orjson.dumps(deaths))
        new.replace(self._file)


def forget_what_is_decoded() -> None:
    """Free the slots of this process: it ends on purpose now, whatever its threads do."""
    for descriptor in _open:
        os.ftruncate(descriptor, 0)


def _hash(data: bytes) -> bytes:
    return blake2b(data, digest_size=_HASH_BYTES).digest()


def _file_of_slots(folder: Path) -> int:
    descriptor = os.open(folder / f"{uuid4().hex}.slots", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    _open.append(descriptor)
    return descriptor


def _is_alive(file: Path) -> bool:
    """Whether the process lives that a file of slots is of."""
    with file.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _left_in(file: Path) -> Iterator[str]:
    data = file.read_bytes()
    slots = (data[start : start + _HASH_BYTES] for start in range(0, len(data), _HASH_BYTES))
    return (slot.hex() for slot in slots if slot != _FREE)


def _suspects(file: Path) -> Counter[str]:
    try:
        return Counter(orjson.loads(file.read_bytes()))
    except FileNotFoundError:
        return Counter()
    except (ValueError, TypeError):
        raise WorldError(f"{file} does not say at which pictures processes ended: delete it") from None
