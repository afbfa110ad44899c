"""Follows a table of a store in steps: only rows that are new, changed or gone are read."""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Final, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from connectors.store.interface import PLACE, Seen, TableReader

_TAKE: Final = 4096
"""Rows that are read at once by their places."""


class Followed(Protocol):
    """What holds in memory what is known of the rows of a table, by their ids."""

    def __len__(self) -> int:
        """How many rows it knows."""

    def changed(self, batch: pa.RecordBatch) -> NDArray[np.bool_]:
        """Which of these rows, of the id and the stamps alone, differ from what it knows."""

    def put(self, batch: pa.RecordBatch) -> None:
        """Take in rows with all columns, over those of the same ids."""

    def keep(self, present: set[str]) -> None:
        """Forget the rows whose ids are not among these."""

    def drop(self, gone: Iterable[str]) -> None:
        """Forget rows by their ids, those that are known."""


class TableFollower:
    """Brings what is known of a table up to date; for one thread at a time.

    What was moved when files were put together has its old stamps. What was deleted shows in the count, where the store
    does not tell.

    Args:
        table: It is brought to its latest version by each step.
        stamps: Columns of which at least one differs where a row has changed.
        columns: All that is read of a row that has.
        first: What is read at the first step instead.
    """

    def __init__(
        self, table: TableReader, stamps: Sequence[str], columns: Sequence[str], first: Sequence[str] | None = None
    ) -> None:
        self.table = table
        self.version: Hashable = None
        self._stamps = [table.key, *stamps]
        self._columns = [table.key, *columns]
        self._first = self._columns if first is None else [table.key, *first]
        self._seen = Seen()

    def step(self, known: Followed) -> bool:
        """Take in what happened since the last step; whether anything did.

        Where it fails amid it, the next step does it again. Raises `WorldError`.
        """
        version, seen = self.table.refresh(), self._seen.copy()
        if version == self.version:
            return False
        if not seen.position:
            for batch in self.table.since(seen, self._first):
                known.put(batch)
        else:
            for keys, places in self._changed(known, seen):
                for batch in self.table.rows(keys, [*self._columns, PLACE], places).to_batches():
                    known.put(batch)
        if seen.gone is not None:
            known.drop(seen.gone)
        elif self.table.count() != len(known):
            known.keep(self._keys())
        self.version, self._seen = version, seen
        return True

    def _changed(self, known: Followed, seen: Seen) -> Iterator[tuple[list[str], dict[str, int]]]:
        """Keys of rows that differ, and where these lie."""
        keys: list[str] = []
        places: list[int] = []
        for batch in self.table.since(seen, self._stamps):
            differ = known.changed(batch)
            keys += batch.column(self.table.key).filter(pa.array(differ)).to_pylist()
            places += batch.column(PLACE).to_numpy()[differ].tolist()
        for start in range(0, len(keys), _TAKE):
            some = keys[start : start + _TAKE]
            yield some, dict(zip(some, places[start : start + _TAKE], strict=True))

    def _keys(self) -> set[str]:
        present: set[str] = set()
        for batch in self.table.batches([self.table.key]):
            present.update(batch.column(0).to_pylist())
        return present
