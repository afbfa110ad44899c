"""A bounded LRU cache of bytes in one SQLite file, shared by the processes of a machine.

Everything in it can be computed again. So any failure, such as a full disk or a broken file, is a cache miss: it is
logged once and stops nothing. SQLite keeps the file consistent when processes are killed, and overwrites deleted data
with zeros. Each value has a key, a checksum, and names by which it can be deleted (of its post, of its author). Keys
and names are keyed hashes; their secret is created with the file.
"""

import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import Final, TypeVar

from connectors.caching.claim_owner import ClaimOwner
from core.errors import WorldError
from core.locks import locked
from core.telemetry import CACHE_BYTES, CACHE_ERRORS, CACHE_EVICTIONS, log

FILE: Final = "results.sqlite3"
_FORM: Final = 2
"""Version of the tables."""
_PAGE: Final = 8192
LEAST_BYTES: Final = 64 * _PAGE
_FULL: Final = 0.9
"""Share of the size limit from which on the oldest tenth is evicted."""
_EVICTED: Final = 0.1
_BUSY_SECONDS: Final = 2.0
"""How long to wait for another process's write before continuing without the cache."""
_CLAIM_SECONDS: Final = 60.0
"""Expiry of a claim: after this time its owner counts as dead."""
_FORGET_SECONDS: Final = 3600.0
"""How long nothing is cached under a deleted name, since its post may still be passing through the flow."""
_FRESH_SECONDS: Final = 600.0
"""The time of last use is updated only when it is older than this."""
_DIGEST: Final = 16
CHECK_BYTES: Final = 8
_MOST_TOUCHED: Final = 10_000
_AT_ONCE: Final = 500
"""Maximum number of values in one statement."""

_SCHEMA: Final = """
CREATE TABLE facts (form INTEGER, secret BLOB);
CREATE TABLE results (key BLOB PRIMARY KEY, value BLOB NOT NULL, used REAL NOT NULL);
CREATE INDEX by_use ON results (used);
CREATE TABLE names (name BLOB, key BLOB, PRIMARY KEY (name, key)) WITHOUT ROWID;
CREATE INDEX by_key ON names (key);
CREATE TABLE claims (key BLOB PRIMARY KEY, owner TEXT NOT NULL, until REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE forgotten (name BLOB PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID;
"""

_RELEASE: Final = "DELETE FROM claims WHERE key = ? AND owner = ?"

Answer = TypeVar("Answer")


class ResultCache:
    """An LRU cache of bytes with hashed keys; safe for any number of threads and processes.

    Args:
        folder: Folder of the file; created if missing.
        max_bytes: Maximum size of the file; at least `LEAST_BYTES`.

    Raises:
        WorldError: if the folder belongs to another user or is world-writable, since others could plant results.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._file = folder / FILE
        self._max_bytes = max(max_bytes, LEAST_BYTES)
        self._lock = Lock()
        self._touched: set[bytes] = set()
        self._has_failed = False
        self._secret = bytes(_DIGEST)
        self._database: sqlite3.Connection | None = None
        self._owner: ClaimOwner | None = None
        with suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _check_owner(folder)
        with self._lock:
            self._guarded(self._open, None)

    def hashed(self, *parts: bytes) -> bytes:
        """Return a key or name as a keyed hash, which reveals nothing about its parts."""
        made = blake2b(digest_size=_DIGEST, key=self._secret)
        for part in parts:
            made.update(len(part).to_bytes(8, "little"))
            made.update(part)
        return made.digest()

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the cached values, by key."""

        def read(database: sqlite3.Connection) -> dict[bytes, bytes]:
            found: dict[bytes, bytes] = {}
            for some in _in_pieces(keys):
                marks = ",".join("?" * len(some))
                found.update(database.execute(f"SELECT key, value FROM results WHERE key IN ({marks})", some))  # noqa: S608 - marks alone
            return found

        nothing: dict[bytes, bytes] = {}
        found = self._run(read, nothing)
        whole = {
            key: value[CHECK_BYTES:] for key, value in found.items() if value == _checked(key, value[CHECK_BYTES:])
        }
        if len(self._touched) < _MOST_TOUCHED:
            self._touched.update(whole)
        return whole

    def put(self, values: Mapping[bytes, bytes], names: Mapping[bytes, Iterable[bytes]]) -> None:
        """Store values with the names by which each can be deleted, and release their claims.

        A value with a recently deleted name is not stored.
        """

        def write(database: sqlite3.Connection) -> bool:
            now = time.time()
            database.execute("DELETE FROM forgotten WHERE until < ?", (now,))
            for key, value in values.items():
                called = list(names.get(key, ()))
                marks = ",".join("?" * len(called))
                forgotten = f"SELECT 1 FROM forgotten WHERE name IN ({marks})"  # noqa: S608 - marks alone
                if database.execute(forgotten, called).fetchone():
                    continue
                row = (key, _checked(key, value), now)
                database.execute("INSERT OR REPLACE INTO results VALUES (?, ?, ?)", row)
                database.executemany("INSERT OR IGNORE INTO names VALUES (?, ?)", [(name, key) for name in called])
            self._note_use(database, now)
            self._make_room(database)
            database.executemany(_RELEASE, [(key, self._own().name) for key in values])
            return True

        if not self._run(lambda database: _transaction(database, write), False):
            self.release(values)

    def claim(self, keys: Iterable[bytes]) -> set[bytes]:
        """Claim the keys whose values no process is computing; the caller must compute and `put` or `release` them."""
        asked = list(keys)

        def write(database: sqlite3.Connection) -> set[bytes]:
            now, owner = time.time(), self._own()
            database.execute("DELETE FROM claims WHERE until < ?", (now,))
            mine = set()
            for key in asked:
                held = database.execute("SELECT owner FROM claims WHERE key = ?", (key,)).fetchone()
                if held is None or not owner.lives(held[0]):
                    row = (key, owner.name, now + _CLAIM_SECONDS)
                    database.execute("INSERT OR REPLACE INTO claims VALUES (?, ?, ?)", row)
                    mine.add(key)
            return mine

        return self._run(lambda database: _transaction(database, write), set(asked))

    def release(self, keys: Iterable[bytes]) -> None:
        """Release claims."""
        held = list(keys)

        def write(database: sqlite3.Connection) -> None:
            database.executemany(_RELEASE, [(key, self._own().name) for key in held])

        if held:
            self._run(lambda database: _transaction(database, write), None)

    def forget(self, names: Iterable[bytes], *, for_good: bool = True) -> None:
        """Delete the values with these names; with `for_good`, also store nothing under them for an hour."""
        rows = [(name,) for name in names]
        until = time.time() + _FORGET_SECONDS

        def write(database: sqlite3.Connection) -> bool:
            before = database.total_changes
            database.executemany("DELETE FROM results WHERE key IN (SELECT key FROM names WHERE name = ?)", rows)
            has_deleted = database.total_changes > before
            gone = "DELETE FROM names WHERE key IN (SELECT key FROM names WHERE name = ?)"
            database.executemany(gone, rows)
            if for_good:
                database.executemany(
                    "INSERT OR REPLACE INTO forgotten VALUES (?, ?)", [(name, until) for (name,) in rows]
                )
            return has_deleted

        def forgotten(database: sqlite3.Connection) -> None:
            if _transaction(database, write):
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the WAL still contains the deleted data

        self._run(forgotten, None)

    def bytes(self) -> int:
        """Return the used bytes of the file."""
        return self._run(_used_bytes, 0)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._database is not None:
                self._guarded(self._ended, None)
                self._database.close()
                self._database = None
            if self._owner is not None:
                self._owner.close()
                self._owner = None

    def _own(self) -> ClaimOwner:
        assert self._owner is not None, "created before the file is opened"
        return self._owner

    def _ended(self) -> None:
        assert self._database is not None
        _transaction(self._database, lambda database: self._note_use(database, time.time()))

    def _run(self, call: Callable[[sqlite3.Connection], Answer], without: Answer) -> Answer:
        with self._lock:
            if self._database is None:
                return without
            database = self._database
            return self._guarded(lambda: call(database), without)

    def _guarded(self, call: Callable[[], Answer], without: Answer) -> Answer:
        """Return the result of `call`; if the file fails, log the first failure and return `without`."""
        try:
            return call()
        except sqlite3.DatabaseError as error:
            is_broken = not isinstance(error, sqlite3.OperationalError) or "malformed" in str(error)
            CACHE_ERRORS.inc()
            if not self._has_failed:
                self._has_failed = True
                log.warning("the cache cannot be used at the moment: results are computed again", error=str(error))
            if is_broken:
                self._recreate()
        except (OSError, WorldError) as error:
            CACHE_ERRORS.inc()
            log.warning("continuing without a cache: cannot use its folder", error=str(error))
        return without

    def _recreate(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
        with suppress(OSError, WorldError, sqlite3.Error):
            with locked(self._file.parent):
                for suffix in ("", "-wal", "-shm"):
                    Path(f"{self._file}{suffix}").unlink(missing_ok=True)
            self._open()

    def _open(self) -> None:
        with locked(self._file.parent):  # only one process creates the tables
            self._owner = self._owner or ClaimOwner(self._file.parent)
            database = sqlite3.connect(self._file, _BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            database.execute(f"PRAGMA page_size = {_PAGE}")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute("PRAGMA secure_delete = ON")
            database.execute(f"PRAGMA max_page_count = {self._max_bytes // _PAGE}")
            database.execute(f"PRAGMA wal_autocheckpoint = {min(1000, self._max_bytes // _PAGE // 10)}")
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'facts'").fetchone():
                database.executescript(_SCHEMA)
                database.execute("INSERT INTO facts VALUES (?, ?)", (_FORM, os.urandom(_DIGEST)))
            form, self._secret = database.execute("SELECT form, secret FROM facts").fetchone() or (0, b"")
            if form != _FORM:
                raise sqlite3.DatabaseError(f"{self._file} has another format")
            self._database = database

    def _note_use(self, database: sqlite3.Connection, now: float) -> None:
        touched, self._touched = self._touched, set()
        rows = [(now, key, now - _FRESH_SECONDS) for key in touched]
        database.executemany("UPDATE results SET used = ? WHERE key = ? AND used < ?", rows)

    def _make_room(self, database: sqlite3.Connection) -> None:
        """Evict the least recently used tenth if the file is nearly full."""
        used = _used_bytes(database)
        CACHE_BYTES.set(used)
        if used < _FULL * self._max_bytes:
            return
        (count,) = database.execute("SELECT count(*) FROM results").fetchone()
        oldest = "SELECT key FROM results ORDER BY used LIMIT ?"
        some = max(1, round(count * _EVICTED))
        database.execute(f"DELETE FROM names WHERE key IN ({oldest})", (some,))  # noqa: S608 - no value of anybody
        database.execute(f"DELETE FROM results WHERE key IN ({oldest})", (some,))  # noqa: S608 - no value of anybody
        CACHE_EVICTIONS.inc(some)


def _transaction(database: sqlite3.Connection, call: Callable[[sqlite3.Connection], Answer]) -> Answer:
    database.execute("BEGIN IMMEDIATE")
    try:
        answer = call(database)
    except BaseException:
        with suppress(sqlite3.Error):  # on a full disk, SQLite has rolled back already
            database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")
    return answer


def _used_bytes(database: sqlite3.Connection) -> int:
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    (free,) = database.execute("PRAGMA freelist_count").fetchone()
    return int(pages - free) * _PAGE


def _checked(key: bytes, value: bytes) -> bytes:
    """Return a value with its checksum, which detects corruption on disk."""
    return blake2b(value, digest_size=CHECK_BYTES, key=key).digest() + value


def _in_pieces(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    return (keys[start : start + _AT_ONCE] for start in range(0, len(keys), _AT_ONCE))


def _check_owner(folder: Path) -> None:
    status = folder.stat()
    if status.st_mode & stat.S_IWOTH or status.st_uid not in {os.geteuid(), 0}:
        raise WorldError(
            f"{folder} belongs to another user or is world-writable, so others could plant results there: "
            f"chmod o-w it, or name another one with MEMEWAX_CACHE_FOLDER"
        )
