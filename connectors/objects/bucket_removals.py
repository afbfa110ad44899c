"""What is deleted in a bucket, told to all who write it: rows of a table that readers do not see."""

import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa

from connectors.objects.object_tables import REMOVED, ObjectPlace, ObjectTables
from connectors.store.interface import Seen
from connectors.store.keyed_table import KeyedTable
from connectors.store.shared_removals import SharedRemoval, SharedRemovals
from connectors.store.table_keys import key_of

_KEY: Final = key_of(REMOVED)
_SCHEMA: Final = pa.schema({_KEY: pa.string(), "said": pa.float64(), "told": pa.float64()})
_DAY_SECONDS: Final = 86_400.0


class BucketRemovals(SharedRemovals):
    """Those of one writer.

    Args:
        place: The bucket.
        state: Folder on this machine of what lies beside tables.
        memory_days: For so long a delete is remembered.
    """

    def __init__(self, place: ObjectPlace, state: Path, memory_days: float = math.inf) -> None:
        super().__init__(place.address, memory_days)
        all_of_it = ObjectTables(place, state, 0)
        self._table = KeyedTable(all_of_it, REMOVED, _KEY, _SCHEMA)
        old = f"told < {time.time() - memory_days * _DAY_SECONDS}"
        if math.isfinite(memory_days) and self._table.has(old):
            self._table.delete_where(old)
        self._reader = all_of_it.table(REMOVED)
        self._seen = Seen()

    def compact(self) -> None:
        """Put its files together; raises `WorldError`."""
        self._table.compact()

    def _write(self, told: Sequence[SharedRemoval]) -> None:
        now = time.time()
        self._table.upsert([{_KEY: f"{it.name:016x}", "said": it.said, "told": now} for it in told])

    def _news(self) -> Iterable[tuple[SharedRemoval, float]]:
        self._reader.refresh()
        rows = [row for it in self._reader.since(self._seen, list(_SCHEMA.names)) for row in it.to_pylist()]
        rows.sort(key=lambda row: row["told"])
        return [(SharedRemoval(int(row[_KEY], 16), row["said"]), row["told"]) for row in rows]
