"""Tombstones that the writers of a bucket share through a table hidden from readers."""

import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa

from connectors.objects.object_tables import REMOVED, ObjectPlace, ObjectTables
from connectors.store.interface import ReadCursor
from connectors.store.keyed_table import KeyedTable
from connectors.store.shared_removals import SharedRemoval, SharedRemovals
from connectors.store.table_keys import key_of

_KEY: Final = key_of(REMOVED)
_SCHEMA: Final = pa.schema({_KEY: pa.string(), "said": pa.float64(), "told": pa.float64()})
_DAY_SECONDS: Final = 86_400.0


class BucketRemovals(SharedRemovals):
    """The shared tombstones of a bucket, as known to one writer.

    Args:
        place: Address of the bucket.
        state: Local folder of what is not in tables.
        memory_days: Days for which deletes are remembered; older tombstones are deleted from the table.
    """

    def __init__(self, place: ObjectPlace, state: Path, memory_days: float = math.inf) -> None:
        super().__init__(place.address, memory_days)
        tables = ObjectTables(place, state, 0)
        self._table = KeyedTable(tables, REMOVED, _KEY, _SCHEMA)
        old = f"told < {time.time() - memory_days * _DAY_SECONDS}"
        if math.isfinite(memory_days) and self._table.has(old):
            self._table.delete_where(old)
        self._reader = tables.table(REMOVED)
        self._seen = ReadCursor()

    def compact(self) -> None:
        """Compact the table of tombstones; raises `WorldError`."""
        self._table.compact()

    def _write(self, removals: Sequence[SharedRemoval]) -> None:
        now = time.time()
        self._table.upsert([{_KEY: f"{it.name:016x}", "said": it.said, "told": now} for it in removals])

    def _news(self) -> Iterable[tuple[SharedRemoval, float]]:
        self._reader.refresh()
        rows = [row for it in self._reader.since(self._seen, list(_SCHEMA.names)) for row in it.to_pylist()]
        rows.sort(key=lambda row: row["told"])
        return [(SharedRemoval(int(row[_KEY], 16), row["said"]), row["told"]) for row in rows]
