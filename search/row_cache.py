"""In-memory cache of a corpus's rows without vectors: texts and metadata in Arrow, by row number."""

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
"""Arrow is slow to pick rows from a table of more chunks. Then all chunks but a large first one are merged."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that a row must meet to be found; None means no condition. A missing value never passes."""

    source: str | None = None
    after: datetime | None = None
    """Created at this time or later."""
    before: datetime | None = None
    """Created earlier than this."""
    language: str | None = None
    ids: frozenset[str] | None = None
    """If given, only rows with these ids pass."""


class RowCache:
    """Rows by number. An id keeps its row number until the row is dropped; then the number is reused."""

    def __init__(self) -> None:
        self._set_table(FORM.empty_table())
        self._row_of: dict[str, int] = {}
        self._place: RowNumbers = np.zeros(0, np.int64)
        """Position in the Arrow table of each row: shape (height,)."""
        self._free: list[int] = []
        self._height = 0

    def __len__(self) -> int:
        return len(self._row_of)

    def put(self, batch: pa.RecordBatch) -> RowNumbers:
        """Upsert rows by id and return their row numbers, shape (rows,). The batch has the schema `FORM`."""
        start = len(self._table)
        self._set_table(_merge_chunks(pa.concat_tables([self._table, pa.Table.from_batches([batch], FORM)])))
        rows = np.array([self._number(id_) for id_ in batch.column("id").to_pylist()], np.int64)
        if self._height > len(self._place):
            longer = np.zeros(max(self._height, len(self._place) * 3 // 2), np.int64)
            longer[: len(self._place)] = self._place
            self._place = longer
        self._place[rows] = np.arange(start, start + len(rows))
        self._drop_replaced()
        return rows

    def keep(self, present: set[str]) -> RowNumbers:
        """Keep only rows whose id is in `present`; return the numbers of the dropped rows."""
        return self.drop([id_ for id_ in self._row_of if id_ not in present])

    def drop(self, gone: Iterable[str]) -> RowNumbers:
        """Drop rows by id; return the row numbers of the known ones."""
        rows = [self._row_of.pop(id_) for id_ in gone if id_ in self._row_of]
        self._free += rows
        return np.array(rows, np.int64)

    def rows(self, numbers: RowNumbers) -> list[dict[str, Any]]:
        """Return rows by number, in order, as dicts of the columns of `FORM`."""
        places = self._place[numbers]
        chunks = np.searchsorted(self._ends, places, side="right")
        found: list[dict[str, Any]] = [{}] * len(places)
        # Chunk by chunk: Arrow would copy all chunks of a table into one to pick rows from it.
        for number in np.unique(chunks):
            batch, those = self._batches[number], np.flatnonzero(chunks == number)
            picked = batch.take(pa.array(places[those] - (self._ends[number] - len(batch)))).to_pylist()
            for place, row in zip(those, picked, strict=True):
                found[place] = row
        return found

    def ids(self) -> set[str]:
        """Return the ids of all rows."""
        return set(self._row_of)

    def numbers(self, ids: Sequence[str]) -> RowNumbers:
        """Return the row numbers of the ids that are known, in order."""
        return np.array([self._row_of[id_] for id_ in ids if id_ in self._row_of], np.int64)

    def passing(self, ids: Sequence[str], flags: Mask) -> list[str]:
        """Return the ids whose flag is set; `flags` has one flag per row number."""
        rows = ((it, self._row_of.get(it, len(flags))) for it in ids)
        return [it for it, row in rows if row < len(flags) and flags[row]]

    def stamps(self, ids: list[str]) -> list[str | None]:
        """Return the stamp of each id, None for unknown ids."""
        rows = [self._row_of.get(id_, -1) for id_ in ids]
        known = self._place[[row for row in rows if row >= 0]]
        stamps = iter(self._table.column("stamp").take(pa.array(known)).to_pylist())
        return [next(stamps) if row >= 0 else None for row in rows]

    def allowed(self, wanted: Filter, height: int, corpus: str) -> Mask:
        """Return which rows pass a filter: shape (height,).

        Raises:
            BadRecordError: The filter names a column for which no row of the corpus has a value.
        """
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
            has_id: Mask = np.zeros(height, np.bool_)
            rows = self.numbers(list(wanted.ids))
            has_id[rows[rows < height]] = True
            mask &= has_id
        return mask

    def _set_table(self, table: pa.Table) -> None:
        self._table = table
        self._batches: list[pa.RecordBatch] = table.to_batches()
        self._ends = np.cumsum([len(batch) for batch in self._batches], dtype=np.int64)
        """Position in the table at which each batch ends (exclusive)."""

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

    def _drop_replaced(self) -> None:
        if len(self._table) <= 2 * self._height + 1024:
            return
        self._set_table(self._table.take(pa.array(self._place[: self._height])).combine_chunks())
        self._place = np.arange(self._height, dtype=np.int64)


def _merge_chunks(table: pa.Table) -> pa.Table:
    batches = table.to_batches()
    if len(batches) <= _CHUNKS:
        return table
    kept = 1 if 2 * len(batches[0]) > len(table) else 0
    rest = pa.Table.from_batches(batches[kept:], FORM).combine_chunks()
    return pa.concat_tables([pa.Table.from_batches(batches[:kept], FORM), rest])
