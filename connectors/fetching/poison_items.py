"""Poison items: images that crash the process while they are decoded or a model handles them.

Running out of memory or a segmentation fault cannot be caught, and the restarted process would meet the same image
again. So each process keeps a file of slots, locked while it lives; each slot holds the hash of an item that one of its
threads is processing. The operating system keeps these writes when the process is killed, without a flush, so marking
an item takes microseconds. A starting process reads the files of dead ones: each item left there is a suspect and is
processed alone, so that after another crash only the poison item itself is left. After three crashes it is never tried
again.
"""

import fcntl
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import Final
from uuid import uuid4

import orjson

from connectors.fetching.outcomes import FetchError, Outcome
from connectors.fetching.weighted_semaphore import WeightedSemaphore
from core.errors import WorldError
from core.locks import locked

_MOST: Final = 3
"""Number of crashes after which an item is not tried again."""
_SUSPECTS: Final = "suspects.json"
_HASH_BYTES: Final = 16
_FREE: Final = bytes(_HASH_BYTES)
_THREADS: Final = 2**20
"""Size of the semaphore; more than the number of threads."""

_open: Final[list[int]] = []
"""File descriptors of this process's slots."""


class PoisonError(FetchError):
    """The item crashed the process too often to be tried again."""

    def __init__(self, reason: str) -> None:
        super().__init__(Outcome.FATAL, reason)


class PoisonMarks:
    """Marks items in progress, and knows those that crashed a process, in a persistent folder; thread-safe."""

    def __init__(self, folder: Path) -> None:
        """Count the items left by dead processes; raises `WorldError` if the folder cannot be read or written."""
        self._folder = folder
        self._file = folder / _SUSPECTS
        self._lock = Lock()
        self._room = WeightedSemaphore(_THREADS)
        self._free: list[int] = []
        self._slots = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with locked(folder):
                self._count_the_ended()
                self._descriptor = _file_of_slots(folder)
        except OSError as error:
            raise WorldError(f"{folder}: {error.strerror}") from None

    def is_suspect(self, key: bytes) -> bool:
        """Check whether an item was in progress when a process crashed, so that it must be processed alone."""
        return key.hex() in self._deaths

    @contextmanager
    def in_progress(self, keys: Sequence[bytes]) -> Iterator[None]:
        """Mark items as in progress within the block; a suspect that survives the block is acquitted.

        A suspect must come alone. It waits until nothing else is in progress, and blocks everything else meanwhile.

        Args:
            keys: Keys of the items, from `key_of`.

        Raises:
            PoisonError: if the item crashed three processes.
        """
        deaths = max(self._deaths.get(key.hex(), 0) for key in keys)
        assert not deaths or len(keys) == 1, "a suspect is processed alone"
        if deaths >= _MOST:
            raise PoisonError(f"it crashed the process {deaths} times; delete {self._file} to try it again")
        with self._room.acquire(_THREADS if deaths else 1):
            slots = self._taken(len(keys))
            for slot, key in zip(slots, keys, strict=True):
                self._write(slot, key)
            try:
                yield
            finally:
                for slot in slots:
                    self._write(slot, _FREE)
                self._free += slots
                if deaths:
                    self._acquit(keys[0].hex())

    def _taken(self, count: int) -> list[int]:
        with self._lock:
            missing = max(0, count - len(self._free))
            self._free += range(self._slots, self._slots + missing)
            self._slots += missing
            return [self._free.pop() for _ in range(count)]

    def _write(self, slot: int, key: bytes) -> None:
        with suppress(OSError):  # a full disk must not stop processing
            os.pwrite(self._descriptor, key, slot * _HASH_BYTES)

    def _count_the_ended(self) -> None:
        self._deaths = _suspects(self._file)
        ended = [file for file in self._folder.glob("*.slots") if not _is_alive(file)]
        left = Counter(key for file in ended for key in set(_left_in(file)))
        if left:
            self._deaths.update(left)
            self._keep(self._deaths)
        for file in ended:
            file.unlink()

    def _acquit(self, key: str) -> None:
        with self._lock, suppress(OSError, WorldError), locked(self._folder):
            self._deaths.pop(key, None)
            stored = _suspects(self._file)  # another process of the flow may know more
            stored.pop(key, None)
            self._keep(stored)

    def _keep(self, deaths: Counter[str]) -> None:
        new = self._file.with_suffix(".new")
        new.write_bytes(orjson.dumps(deaths))
        new.replace(self._file)


def clear_own_slots() -> None:
    """Clear the slots of this process, since it now ends on purpose, whatever its threads do."""
    for descriptor in _open:
        os.ftruncate(descriptor, 0)


def key_of(*parts: bytes | memoryview) -> bytes:
    """Hash the parts that identify an item to its key of 16 bytes."""
    made = blake2b(digest_size=_HASH_BYTES)
    for part in parts:
        made.update(part)
    return made.digest()


def _file_of_slots(folder: Path) -> int:
    descriptor = os.open(folder / f"{uuid4().hex}.slots", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    _open.append(descriptor)
    return descriptor


def _is_alive(file: Path) -> bool:
    """Check whether the process that owns a file of slots is alive."""
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
        raise WorldError(f"{file} is not a valid list of images that crashed the process: delete it") from None
