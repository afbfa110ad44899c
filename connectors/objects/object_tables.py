"""The tables of LanceDB in a bucket: those of all writers for who reads, those of one for that one."""

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
"""How old may be what is known of which tables there are."""
_LONGEST_REQUEST: Final = 30.0
_SHORTEST_REQUEST: Final = 1.0
_TRIES: Final = 4
"""Requests that are waited for one after the other within the time that a server may be away."""
REMOVED: Final = "removed"
"""Table of what was deleted, by which writers tell each other: it holds nothing for readers."""
_PART: Final = "."
"""In a table's name, before the number of its writer; the first one has none."""
_AWAY: Final = re.compile(
    r'store: "(S3|GCS)"|Generic (S3|GCS)|LanceError\(IO\)|[Ee]rror sending request|timed out'
    r"|[Rr]etry|[Cc]ommit conflict|concurrent"
)
"""What LanceDB says where a server did not answer or was busy, or another was quicker to commit."""
_FOR_GOOD: Final = re.compile(r"NoSuchBucket|AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|status: 40[134]\b")
"""What will not be otherwise when it is tried again."""


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    """Where tables lie."""

    address: str
    server: str
    """http(s)://HOST:PORT; empty: that of the address's own service."""
    timeout: float
    """Seconds in which a server may be away."""

    def options(self) -> dict[str, str]:
        """Those of LanceDB; credentials it finds in the environment."""
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
        place: Where they lie.
        state: Folder on this machine of what lies beside tables.
        writer: Whose tables these are; None: those of all, as one.
    """

    has_one_writer = False

    def __init__(self, place: ObjectPlace, state: Path, writer: int | None = None) -> None:
        super().__init__(state)
        self.address = place.address
        self._place = place
        self._writer = writer
        self._listed: tuple[float, list[str]] = (0.0, [])

    def database(self) -> Any:
        """The database, opened anew with caches of its own; raises what LanceDB raises."""
        return opened(self._place.address, self._place.options())

    def own_name(self, table: str) -> str:
        """The table of a writer."""
        return f"{table}{_PART}{self._writer}" if self._writer else table

    def names(self) -> list[str]:
        """The tables that there are, each once."""
        return sorted({it.partition(_PART)[0] for it in self._found(is_new=True)} - {REMOVED})

    def has(self, table: str) -> bool:
        """Whether there is a table, of any writer or of this one."""
        return bool(self._tables_of(table))

    def identity(self, table: str) -> Hashable:
        """The names of the tables of its writers."""
        return tuple(self._tables_of(table))

    def table(self, name: str) -> TableReader:
        """A table of all writers as one, or that of this one; raises `WorldError` where there is none."""
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
        """Again and again, later and later, while the server is away, for as long as the place allows."""
        for attempt in Retrying(
            stop=stop_after_delay(self._place.timeout),
            wait=wait_random_exponential(multiplier=0.2, max=5.0),
            retry=retry_if_exception(is_away),
            before_sleep=self._tell,
            reraise=True,
        ):
            with attempt:
                return do()
        raise AssertionError("it is tried once at least")

    def writers_of(self, table: str) -> list[int]:
        """Numbers of all writers that have a table of a name; raises `WorldError`."""
        named = [it.partition(_PART)[2] for it in self._found(is_new=True) if it.partition(_PART)[0] == table]
        return sorted(int(it or 0) for it in named if not it or it.isdecimal())

    def _tables_of(self, table: str) -> list[str]:
        own = [self.own_name(table)]
        for is_new in (False, True):  # one that was made just now
            found = self._found(is_new=is_new or self._writer is not None)
            there = own if self._writer is not None else [it for it in found if it.partition(_PART)[0] == table]
            if there := [it for it in there if it in found]:
                return sorted(there)
        return []

    def _found(self, *, is_new: bool = False) -> list[str]:
        at, names = self._listed
        if is_new or time.monotonic() >= at:
            with reading(self.address):
                names = self.with_retries(lambda: list(self.database().list_tables(limit=_MOST_TABLES).tables))
            self._listed = time.monotonic() + _LOOK_SECONDS, names
        return names

    def _tell(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        if error is not None:
            told = shortened(first_line(error), 200)
            log.warning("the store is tried again", store=self.address, error=told, tries=state.attempt_number)


def is_away(error: BaseException) -> bool:
    """Whether an error of LanceDB may be none when the same is tried again."""
    told = str(error)
    return isinstance(error, READ_ERRORS) and _FOR_GOOD.search(told) is None and _AWAY.search(told) is not None
