"""The rows of a corpus in memory, without their vectors: texts and metadata as Arrow, found by row number."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from core.errors import BadRecordError
from search.corpus_layout import FORM, TIME
from search.vector_index import Mask, RowNumbers

_CHUNKS: Final = 16
"""Tables of more chunks are slow to pick from; those at the end are put together, or all where they are most of it."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows may answer; what is None lets all through. A row without the value asked for does not pass."""

    source: str | None = None
    after: datetime | None = None
    """Created at this time or later."""
    before: datetime | None = None
    """Created earlier than this."""
    language: str | None = None
    ids: frozenset[str] | None = None
    """Only these."""


class RowCache:
    """Rows by number; the number of an id stays while the row is there, and is given away when it is gone."""

    def __init__(self) -> None:
        self._become(FORM.empty_table())
        self._row_of: dict[str, int] = {}
        self._place: RowNumbers = np.zeros(0, np.int64)
        """Where in the Arrow table each row lies."""
        self._free: list[int] = []
        self._height = 0

    def __len__(self) -> int:
        return len(self._row_of)

    def put(self, batch: pa.RecordBatch) -> RowNumbers:
        """Take in rows of the form `FORM`, over those of the same ids; returns their numbers."""
        start = len(self._table)
        self._become(_together(pa.concat_tables([self._table, pa.Table.from_batches([batch], FORM)])))
        rows = np.array([self._number(id_) for id_ in batch.column("id").to_pylist()], np.int64)
        if self._height > len(self._place):
            longer = np.zeros(max(self._height, len(self._place) * 3 // 2), np.int64)
            longer[: len(self._place)] = self._place
            self._place = longer
        self._place[rows] = np.arange(start, start + len(rows))
        self._forget_the_replaced()
        return rows

    def keep(self, present: set[str]) -> RowNumbers:
        """Keep the rows whose ids are `present`; returns the numbers of the others."""
        return self.drop([id_ for id_ in self._row_of if id_ not in present])

    def drop(self, gone: Iterable[str]) -> RowNumbers:
        """Forget rows by their ids; returns the numbers of those that were known."""
        rows = [self._row_of.pop(id_) for id_ in gone if id_ in self._row_of]
        self._free += rows
        return np.array(rows, np.int64)

    def rows(self, numbers: RowNumbers) -> list[dict[str, Any]]:
        """The rows of these numbers."""
        places = self._place[numbers]
        chunks = np.searchsorted(self._ends, places, side="right")
        found: list[dict[str, Any]] = [{}] * len(places)
        # Chunk by chunk: Arrow would copy all of a table's chunks together to pick from them.
        for number in np.unique(chunks):
            batch, those = self._batches[number], np.flatnonzero(chunks == number)
            picked = batch.take(pa.array(places[those] - (self._ends[number] - len(batch)))).to_pylist()
            for place, row in zip(those, picked, strict=True):
                found[place] = row
        return found

    def ids(self) -> set[str]:
        """The ids of all rows."""
        return set(self._row_of)

    def numbers(self, ids: Sequence[str]) -> RowNumbers:
        """The numbers of these ids that are there."""
        return np.array([self._row_of[id_] for id_ in ids if id_ in self._row_of], np.int64)

    def passing(self, ids: Sequence[str], flags: Mask) -> list[str]:
        """Those of some ids whose rows a flag is set for."""
        rows = ((it, self._row_of.get(it, len(flags))) for it in ids)
        return [it for it, row in rows if row < len(flags) and flags[row]]

    def stamps(self, ids: list[str]) -> list[str | None]:
        """The stamp of each id; None where it is not known."""
        rows = [self._row_of.get(id_, -1) for id_ in ids]
        known = self._place[[row for row in rows if row >= 0]]
        stamps = iter(self._table.column("stamp").take(pa.array(known)).to_pylist())
        return [next(stamps) if row >= 0 else None for row in rows]

    def allowed(self, wanted: Filter, height: int, corpus: str) -> Mask:
        """A flag for each of `height` rows; raises `BadRecordError` where no row has the column asked for."""
        passes = pa.array(np.ones(len(self._table), np.bool_))
        tests = (
            ("source", pc.equal, wanted.source, pa.string()),
            ("language", pc.equal, wanted.language, pa.string()),
            ("created", pc.greater_equal, wanted.after, TIME),
            ("created", pc.less, wanted.before, TIME),
        )
        for name, test, value, kind in tests:
            if value is None:
                continue
            column = self._table.column(name)
            if column.null_count == len(column) > 0:
                raise BadRecordError(f"the corpus {corpus!r} has no {name} to filter by")
            passes = pc.and_(passes, test(column, pa.scalar(value, kind)))
        flags = np.asarray(pc.fill_null(passes, fill_value=False))
        mask: Mask = np.zeros(height, np.bool_)
        mask[: self._height] = flags[self._place[: self._height]][:height]
        if wanted.ids is not None:
            among: Mask = np.zeros(height, np.bool_)
            rows = self.numbers(list(wanted.ids))
            among[rows[rows < height]] = True
            mask &= among
        return mask

    def _become(self, table: pa.Table) -> None:
        self._table = table
        self._batches: list[pa.RecordBatch] = table.to_batches()
        self._ends = np.cumsum([len(batch) for batch in self._batches], dtype=np.int64)
        """Where in the table each batch ends."""

    def _number(self, id_: str) -> int:
        number = self._row_of.get(id_)
        if number is None:
            if self._free:
                number = self._free.pop()
            else:
                number = self._height
                self._height += 1
            self._row_of[id_] = number
        return number

    def _forget_the_replaced(self) -> None:
        if len(self._table) <= 2 * self._height + 1024:
            return
        self._become(self._table.take(pa.array(self._place[: self._height])).combine_chunks())
        self._place = np.arange(self._height, dtype=np.int64)


def _together(table: pa.Table) -> pa.Table:
    batches = table.to_batches()
    if len(batches) <= _CHUNKS:
        return table
    kept = 1 if 2 * len(batches[0]) > len(table) else 0
    rest = pa.Table.from_batches(batches[kept:], FORM).combine_chunks()
    return pa.concat_tables([pa.Table.from_batches(batches[:kept], FORM), rest])
