"""LanceDB connections with bounded caches, and reads that tolerate a concurrent compaction."""

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
"""Errors that LanceDB raises if it cannot read."""
_TRIES: Final = 3
_INDEX_CACHE: Final = 128 * 2**20
"""Bytes. It holds the indexes of a million ids twice (58 MB each): with less, each delete reads their pages again."""
_METADATA_CACHE: Final = 32 * 2**20
"""Bytes. LanceDB's defaults are 6 GB and 1 GB: it caches metadata of every version, and a writer makes many."""

IO_BUFFER: Final = 256 * 2**20
"""Bytes that a scan reads ahead. The default of 2 GB would hold a whole table in memory during a compaction.

It has to hold one page of every column, of 8 MB each: a scan that has filled its buffer with pages of some columns
waits forever for a page of another one. With 16 MB some erasures of a store of a million posts never ended.
"""
_SCANS: Final = {"LANCE_DEFAULT_IO_BUFFER_SIZE": str(IO_BUFFER), "LANCE_DEFAULT_FRAGMENT_READAHEAD": "1"}


def caches() -> Any:
    """Return bounded caches, which several connections to one database may share."""
    keep_little()  # has to precede the start of LanceDB's threads
    for name, value in _SCANS.items():
        os.environ.setdefault(name, value)
    import lancedb  # imported late: it takes a second, and many commands never open the store

    return lancedb.Session(index_cache_size_bytes=_INDEX_CACHE, metadata_cache_size_bytes=_METADATA_CACHE)


def opened(place: Path | str, options: Mapping[str, str] | None = None, session: Any = None) -> Any:
    """Connect to the LanceDB database in a folder or at an address; raises LanceDB's errors.

    Args:
        place: Folder or address.
        options: LanceDB's `storage_options`, for object storage.
        session: Shared caches from `caches`; None creates new ones.
    """
    session = session or caches()
    import lancedb

    return lancedb.connect(place, session=session, storage_options=dict(options) if options else None)


async def opened_async(place: Path | str, table: str, options: Mapping[str, str] | None, session: Any) -> Any:
    """Open a table with LanceDB's asynchronous API; arguments as in `opened`."""
    from lancedb import connect_async

    database = await connect_async(place, session=session, storage_options=dict(options) if options else None)
    return await database.open_table(table)


def store_below(folder: Path) -> Path:
    """Return the store that a folder stands for: itself, or its subfolder `store` as left by a demo or a run."""
    inside = folder / "store"
    return inside if not any(folder.glob("*.lance")) and any(inside.glob("*.lance")) else folder


def store_nearby() -> str:
    """Return a hint for error messages that names a store below the current folder; empty if there is none."""
    found = sorted({it.parent for pattern in _NEARBY for it in islice(Path().glob(pattern), _LOOKED_AT)})
    return f"; there is one in {found[0]}: --store {found[0]}" if found else ""


async def in_memory_async() -> Any:
    """Return a new in-memory database of LanceDB's asynchronous API."""
    from lancedb import connect_async

    return await connect_async("memory://")


def read_latest(read: Callable[[], T]) -> T:
    """Call `read` up to three times: it may fail because a compaction dropped the version that it was reading."""
    for _ in range(_TRIES - 1):
        try:
            return read()
        except (*READ_ERRORS, WorldError):
            continue
    return read()
