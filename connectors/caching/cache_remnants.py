"""Find remnants of deleted posts in the cache: in its values, and in the bytes of its files."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import orjson

from connectors.caching.result_cache import CHECK_BYTES, FILE
from connectors.remnants import LookedFor, Remnant, in_files
from core.errors import WorldError

_UNTIL: Final = "until it ages away, or the folder is deleted while no flow runs"


def in_cache(folder: Path, names: LookedFor) -> Iterator[Remnant]:
    """Search a cache for names; a match may belong to another post with the same image."""
    file = folder / FILE
    if not file.is_file():
        return
    count = 0
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            for (value,) in database.execute("SELECT value FROM results"):
                count += names.in_value(_plain(value[CHECK_BYTES:]))
    except sqlite3.Error as error:
        raise WorldError(f"{file} cannot be read: {error}") from None
    if count:
        yield Remnant(str(file), "cached results have it", _UNTIL)
        return
    yield from in_files(sorted(folder.glob(f"{FILE}*")), names, _UNTIL)


def _plain(value: bytes) -> object:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value
