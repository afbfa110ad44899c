"""Follows a table of a store in steps: only rows that are new, changed or gone are read."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

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


class TableFollower:
    """Brings what is known of a table up to date; for one thread at a time.

    Rows of a LanceDB table have places that only ever grow: what is new or changed, or was moved when fragments were
    put together, lies beyond the last place seen. What was moved has its old stamps. What was deleted shows in the
    count.

    Args:
        table: An open table; it is brought to its latest version by each step.
        id_: The column of ids.
        stamps: Columns of which at least one differs where a row has changed.
        columns: All that is read of a row that has.
        first: What is read at the first step instead.
    """

    def __init__(
        self,
        table: Any,
        id_: str,
        stamps: Sequence[str],
        columns: Sequence[str],
        first: Sequence[str] | None = None,
    ) -> None:
        self.table = table
        self.version = 0
        there = set(table.schema.names)  # an older store has fewer
        self._id = id_
        self._stamps = [it for it in stamps if it in there]
        self._columns = [it for it in columns if it in there]
        self._first = self._columns if first is None else [it for it in first if it in there]
        self._last_place = -1

    def step(self, known: Followed) -> bool:
        """Take in what happened since the last step; whether anything did.

        Where it fails amid it, the next step does it again. Raises what LanceDB raises.
        """
        self.table.checkout_latest()
        version, last = int(self.table.version), self._last_place
        if version == self.version:
            return False
        try:
            if last < 0:
                for batch in self._scan([self._id, *self._first]):
                    known.put(batch)
            else:
                for places in self._changed(known):
                    for batch in self._taken(places):
                        known.put(batch)
            if self.table.count_rows() != len(known):
                known.keep(self._ids())
        except BaseException:
            self._last_place = last
            raise
        self.version = version
        return True

    def _changed(self, known: Followed) -> Iterator[list[int]]:
        found = [
            batch.column("_rowid").to_numpy()[known.changed(batch)] for batch in self._scan([self._id, *self._stamps])
        ]
        places: list[int] = np.concatenate(found).tolist() if found else []
        for start in range(0, len(places), _TAKE):
            yield places[start : start + _TAKE]

    def _taken(self, places: list[int]) -> list[pa.RecordBatch]:
        taken = self.table.take_row_ids(places).with_row_id().select([self._id, *self._columns]).to_arrow()
        batches: list[pa.RecordBatch] = taken.to_batches()
        return batches

    def _scan(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        query = self.table.search().with_row_id(True).select([*dict.fromkeys(columns), "_rowid"])
        if self._last_place >= 0:
            query = query.where(f"_rowid > {self._last_place}")
        last = self._last_place
        for batch in query.to_batches():
            if len(batch):
                yield batch
                last = max(last, int(batch.column("_rowid").to_numpy().max()))
        self._last_place = last

    def _ids(self) -> set[str]:
        present: set[str] = set()
        for batch in self.table.search().select([self._id]).to_batches():
            present.update(batch.column(0).to_pylist())
        return present
