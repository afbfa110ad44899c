"""The folder of a store, opened with bounded caches."""

from pathlib import Path
from typing import Any, Final

import lancedb

_INDEX_CACHE: Final = 64 * 2**20
_METADATA_CACHE: Final = 64 * 2**20
"""Bytes. LanceDB's own bounds are 6 GB and 1 GB: it keeps what it knows of each version, and a writer makes many."""


def opened(folder: Path) -> Any:
    """The database in a folder, with caches of its own."""
    session = lancedb.Session(index_cache_size_bytes=_INDEX_CACHE, metadata_cache_size_bytes=_METADATA_CACHE)
    return lancedb.connect(folder, session=session)
