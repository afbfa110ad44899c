"""LanceDB tables in a bucket: the merged tables of all writers for readers, and the tables of one for a writer."""

import re
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay
from tenacity.wait import wait_random_exponential

from connectors.store.interface import TableReader
from connectors.store.lance_tables import LanceTable, LanceTables, reading
from connectors.store.merged_table import MergedTable
from connectors.store.store_folder import READ_ERRORS, caches, opened, opened_async
from core.errors import first_line
from core.telemetry import log
from core.untrusted_text import shortened

T = TypeVar("T")

_MOST_TABLES: Final = 10_000
_LOOK_SECONDS: Final = 1.0
"""Seconds for which the list of tables is cached."""
_LONGEST_REQUEST: Final = 30.0
_SHORTEST_REQUEST: Final = 1.0
_TRIES: Final = 4
"""Requests in sequence that fit in the store's timeout."""
REMOVED: Final = "removed"
"""Table of the tombstones that writers share; hidden from readers."""
_PART: Final = "."
"""Separates a table's name from the number of its writer; the first writer's table has no number."""
_AWAY: Final = re.compile(
    r'store: "(S3|GCS)"|Generic (S3|GCS)|LanceError\(IO\)|[Ee]rror sending request|timed out'
    r"|[Rr]etry|[Cc]ommit conflict|concurrent"
)
"""LanceDB's messages for a server that is unreachable or busy, and for a conflicting commit."""
_PERMANENT: Final = re.compile(r"NoSuchBucket|AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|status: 40[134]\b")
"""Messages of permanent errors, which a retry would not change."""


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    """Address of tables on object storage."""

    address: str
    server: str
    """http(s)://HOST:PORT; empty for Amazon S3 or Google Cloud Storage."""
    timeout: float
    """Seconds for which operations are retried if the server is unreachable."""

    def options(self) -> dict[str, str]:
        """Return LanceDB's `storage_options`; it takes credentials from the environment."""
        request = min(_LONGEST_REQUEST, max(_SHORTEST_REQUEST, self.timeout / _TRIES))
        found = {
            "timeout": f"{request:g}s",
            "connect_timeout": f"{min(5.0, request):g}s",
            "client_max_retries": "2",
            "client_retry_timeout": str(max(1, int(request))),
        }
        if self.address.startswith("s3://") and self.server:
            found |= {"endpoint": self.server, "allow_http": str(self.server.startswith("http://")).lower()}
        return found


class ObjectTables(LanceTables):
    """The tables of a store in a bucket.

    Args:
        place: Address of the tables.
        state: Local folder of what is not in tables.
        writer: Number of the writer whose tables these are; None merges those of all writers.
    """

    has_one_writer = False

    def __init__(self, place: ObjectPlace, state: Path, writer: int | None = None) -> None:
        super().__init__(state)
        self.address = place.address
        self._place = place
        self._writer = writer
        self._listed: tuple[float, list[str]] = (0.0, [])

    def database(self) -> Any:
        """Open a new connection with its own caches; raises LanceDB's errors."""
        return opened(self._place.address, self._place.options())

    def own_name(self, table: str) -> str:
        """Return the name in the database of this writer's table."""
        return f"{table}{_PART}{self._writer}" if self._writer else table

    def names(self) -> list[str]:
        """Return the distinct names of the existing tables, without writers' numbers."""
        return sorted({it.partition(_PART)[0] for it in self._found(relist=True)} - {REMOVED})

    def has(self, table: str) -> bool:
        """Check whether this writer's table exists, or that of any writer."""
        return bool(self._tables_of(table))

    def identity(self, table: str) -> Hashable:
        """Return the names of the writers' tables."""
        return tuple(self._tables_of(table))

    def table(self, name: str) -> TableReader:
        """Open this writer's table, or the merged one of all; raises `WorldError` if none exists."""
        with reading(self.address):
            names = self._tables_of(name) or [self.own_name(name)]
            place, options, session = self._place.address, self._place.options(), caches()
            database = self.with_retries(lambda: opened(place, options, session))
            tables = []
            for own in names:
                table = self.with_retries(partial(database.open_table, own))
                tables.append(LanceTable(self, name, table, partial(opened_async, place, own, options, session)))
        return tables[0] if len(tables) == 1 else MergedTable(tables)

    def with_retries(self, do: Callable[[], T]) -> T:
        """Run an idempotent operation; retry transient errors with exponential back-off up to the store's timeout."""
        for attempt in Retrying(
            stop=stop_after_delay(self._place.timeout),
            wait=wait_random_exponential(multiplier=0.2, max=5.0),
            retry=retry_if_exception(is_away),
            before_sleep=self._log_retry,
            reraise=True,
        ):
            with attempt:
                return do()
        raise AssertionError("the operation is tried at least once")

    def writers_of(self, table: str) -> list[int]:
        """Return the numbers of all writers that have a given table; raises `WorldError`."""
        named = [it.partition(_PART)[2] for it in self._found(relist=True) if it.partition(_PART)[0] == table]
        return sorted(int(it or 0) for it in named if not it or it.isdecimal())

    def _tables_of(self, table: str) -> list[str]:
        own = [self.own_name(table)]
        for relist in (False, True):  # list again, in case it was created just now
            found = self._found(relist=relist or self._writer is not None)
            there = own if self._writer is not None else [it for it in found if it.partition(_PART)[0] == table]
            if there := [it for it in there if it in found]:
                return sorted(there)
        return []

    def _found(self, *, relist: bool = False) -> list[str]:
        expires, names = self._listed
        if relist or time.monotonic() >= expires:
            with reading(self.address):
                names = self.with_retries(lambda: list(self.database().list_tables(limit=_MOST_TABLES).tables))
            self._listed = time.monotonic() + _LOOK_SECONDS, names
        return names

    def _log_retry(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        if error is not None:
            cause = shortened(first_line(error), 200)
            log.warning("the store is tried again", store=self.address, error=cause, tries=state.attempt_number)


def is_away(error: BaseException) -> bool:
    """Check whether an error of LanceDB is transient, so that a retry may succeed."""
    text = str(error)
    return isinstance(error, READ_ERRORS) and _PERMANENT.search(text) is None and _AWAY.search(text) is not None
