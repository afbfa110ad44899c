"""Incremental reading of a table: each step reads only rows that are new, changed or deleted."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Final, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from connectors.store.interface import ROW_ID, ReadCursor, TableReader

_TAKE: Final = 4096
"""Changed rows that are read at once."""


class Followed(Protocol):
    """An in-memory copy of a table, by id, that a `TableFollower` updates."""

    def __len__(self) -> int:
        """Count the rows."""

    def changed(self, batch: pa.RecordBatch) -> NDArray[np.bool_]:
        """Return which rows of a batch (key, stamps and place only) are new or changed: shape (rows,)."""

    def put(self, batch: pa.RecordBatch) -> None:
        """Upsert rows with all columns."""

    def keep(self, present: set[str]) -> None:
        """Drop all rows whose ids are not `present`."""

    def drop(self, gone: Iterable[str]) -> None:
        """Drop rows by id; unknown ids are ignored."""


class TableFollower:
    """Keeps an in-memory copy of a table up to date. For one thread at a time.

    Rows that a compaction moved keep their stamps, so they are skipped. If the store does not report deletes, they are
    noticed by comparing row counts.

    Args:
        table: The table; each step refreshes it to its latest version.
        stamps: Columns of which at least one differs when a row has changed.
        columns: Columns to read of a new or changed row.
        first: Columns to read in the first step instead.
    """

    def __init__(
        self, table: TableReader, stamps: Sequence[str], columns: Sequence[str], first: Sequence[str] | None = None
    ) -> None:
        self.table = table
        self.version: Hashable = None
        self._stamps = [table.key, *stamps]
        self._columns = [table.key, *columns]
        self._first = self._columns if first is None else [table.key, *first]
        self._seen = ReadCursor()

    def step(self, known: Followed) -> bool:
        """Read what changed since the last step; return whether anything did.

        After a failure the next step reads the same changes again.

        Raises:
            WorldError: The table cannot be read.
        """
        version, seen = self.table.refresh(), self._seen.copy()
        if version == self.version:
            return False
        if not seen.position:
            for batch in self.table.since(seen, self._first):
                known.put(batch)
        else:
            for keys, places in self._changed(known, seen):
                for batch in self.table.rows(keys, [*self._columns, ROW_ID], places).to_batches():
                    known.put(batch)
        if seen.gone is not None:
            known.drop(seen.gone)
        elif self.table.count() != len(known):
            known.keep(self._keys())
        self.version, self._seen = version, seen
        return True

    def _changed(self, known: Followed, seen: ReadCursor) -> Iterator[tuple[list[str], dict[str, int]]]:
        """Yield keys and places of new and changed rows."""
        keys: list[str] = []
        places: list[int] = []
        for batch in self.table.since(seen, self._stamps):
            differ = known.changed(batch)
            keys += batch.column(self.table.key).filter(pa.array(differ)).to_pylist()
            places += batch.column(ROW_ID).to_numpy()[differ].tolist()
        for start in range(0, len(keys), _TAKE):
            some = keys[start : start + _TAKE]
            yield some, dict(zip(some, places[start : start + _TAKE], strict=True))

    def _keys(self) -> set[str]:
        present: set[str] = set()
        for batch in self.table.batches([self.table.key]):
            present.update(batch.column(0).to_pylist())
        return present
