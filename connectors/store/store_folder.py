"""The folder of a store, opened with bounded caches, and read while its writer puts its tables together."""

import os
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

from core.errors import WorldError
from core.memory import keep_little

T = TypeVar("T")

_NEARBY: Final = ("*/posts.lance", "*/*/posts.lance")
_LOOKED_AT: Final = 100
READ_ERRORS: Final = (OSError, RuntimeError, ValueError)
"""What LanceDB raises where it cannot read."""
_TRIES: Final = 3
_INDEX_CACHE: Final = 32 * 2**20
_METADATA_CACHE: Final = 32 * 2**20
"""Bytes. LanceDB's own bounds are 6 GB and 1 GB: it keeps what it knows of each version, and a writer makes many."""

_SCANS: Final = {"LANCE_DEFAULT_IO_BUFFER_SIZE": str(16 * 2**20), "LANCE_DEFAULT_FRAGMENT_READAHEAD": "1"}
"""What is read ahead. By default 2 GB: while tables are put together, all of a table would lie in memory."""


def caches() -> Any:
    """Bounded caches, which those who open the same database may share."""
    keep_little()  # before LanceDB starts its threads
    for name, value in _SCANS.items():
        os.environ.setdefault(name, value)
    import lancedb  # which takes a second, and many who name a store do not open it

    return lancedb.Session(index_cache_size_bytes=_INDEX_CACHE, metadata_cache_size_bytes=_METADATA_CACHE)


def opened(place: Path | str, options: Mapping[str, str] | None = None, session: Any = None) -> Any:
    """The database in a folder or at an address.

    Args:
        place: Where it lies.
        options: Those of object storage.
        session: Its `caches`; None: its own.
    """
    session = session or caches()
    import lancedb

    return lancedb.connect(place, session=session, storage_options=dict(options) if options else None)


async def opened_async(place: Path | str, table: str, options: Mapping[str, str] | None, session: Any) -> Any:
    """A table of a database as LanceDB's asynchronous interface has it; otherwise as `opened`."""
    from lancedb import connect_async

    database = await connect_async(place, session=session, storage_options=dict(options) if options else None)
    return await database.open_table(table)


def store_below(folder: Path) -> Path:
    """Return the store that a folder stands for: itself, or `store` in it, where a demo or a run has left that."""
    inside = folder / "store"
    return inside if not any(folder.glob("*.lance")) and any(inside.glob("*.lance")) else folder


def store_nearby() -> str:
    """What a message adds where a store is not there and a folder below the current one holds one; else nothing."""
    found = sorted({it.parent for pattern in _NEARBY for it in islice(Path().glob(pattern), _LOOKED_AT)})
    return f"; there is one in {found[0]}: --store {found[0]}" if found else ""


async def in_memory_async() -> Any:
    """A database of its own in memory, for LanceDB's asynchronous interface."""
    from lancedb import connect_async

    return await connect_async("memory://")


def read_latest(read: Callable[[], T]) -> T:
    """What `read` gives of the latest version; asked again where it fails, since its files may have been dropped."""
    for _ in range(_TRIES - 1):
        try:
            return read()
        except (*READ_ERRORS, WorldError):
            continue
    return read()
