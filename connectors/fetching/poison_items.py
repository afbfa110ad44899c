"""How often a process ended while an image was decoded or a model looked at it: memory, or a crash, asks nobody.

Each process keeps a file of slots, locked as long as it lives, and in each slot the hash of what one of its threads
works on just now. What was written there outlives a process that is killed, without being flushed, so that noting an
image costs some microseconds. A process that starts finds the files of those that have ended: each image that was
left there is a suspect, and is worked on alone, so that only one is left the next time.
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
"""Deaths of a process at one image; then it is tried no more."""
_SUSPECTS: Final = "suspects.json"
_HASH_BYTES: Final = 16
_FREE: Final = bytes(_HASH_BYTES)
_THREADS: Final = 2**20
"""More than there are."""

_open: Final[list[int]] = []
"""Files of slots of this process."""


class PoisonError(FetchError):
    """It ended the process too often to be tried again."""

    def __init__(self, reason: str) -> None:
        super().__init__(Outcome.FATAL, reason)


class PoisonMarks:
    """Knows the images that processes ended at, in a folder that outlives them; for any number of threads."""

    def __init__(self, folder: Path) -> None:
        """Count what processes that have ended left; raises `WorldError` where the folder cannot be read or written."""
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
        """Whether a process has ended at it, so that it is to be worked on alone."""
        return key.hex() in self._deaths

    @contextmanager
    def noted(self, keys: Sequence[bytes]) -> Iterator[None]:
        """Note what is worked on for the block; it is no suspect any more when the block has ended.

        A suspect, which has to come alone, waits until nothing else is worked on, and keeps it so.

        Args:
            keys: Of `key_of`.

        Raises:
            PoisonError: where three processes have ended at it.
        """
        deaths = max(self._deaths.get(key.hex(), 0) for key in keys)
        assert not deaths or len(keys) == 1, "a suspect is worked on alone"
        if deaths >= _MOST:
            raise PoisonError(f"it ended the process {deaths} times; delete {self._file} to have it tried again")
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
        with suppress(OSError):  # a full disk stops no image
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


def key_of(*parts: bytes | memoryview) -> bytes:
    """What is noted of an image or text that these parts tell from others."""
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
        raise WorldError(f"{file} does not say at which images processes ended: delete it") from None
