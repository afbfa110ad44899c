"""In-memory columns of a store's posts, some 1,100 bytes per post, updated row by row."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from core.times import time_or_none
from search.compact_vectors import CompactVectors
from search.corpus_layout import vectors_of
from search.post_words import PostWords
from search.store_posts import extra_of, is_sensitive
from search.vector_index import Mask, RowNumbers

STAMPS: Final = ("joined_time", "cluster", "current_cluster", "duplicate_of")
"""Columns of posts of which at least one differs when a row has changed."""
READ: Final = (*STAMPS, "created_time", "source", "author", "picture_sha256", "extra")
WORDS: Final = ("text", "description")
LOOKS: Final = "embeddings"
MEANING: Final = "text_embedding"
LATER: Final = (*WORDS, LOOKS, MEANING)
"""Large columns that lists of posts do not need, so that they may be read after the others."""
NO_TIME: Final = -(2**63)
UNSETTLED: Final = -(2**62)
"""Stands for the current cluster if the store is older than that column."""
NONE: Final = -1
_LONGEST_NAME: Final = 200
"""Characters of author and source that are kept."""
_KEY: Final = 64
"""Hexadecimal digits of a SHA-256."""
_EPOCH_MICROSECONDS: Final = 10**6
_ISO: Final = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$"
"""Times that Arrow parses in bulk; all others are parsed one by one."""
_SAYS_SENSITIVE: Final = r'"(nsfw|over_18|sensitive)" *: *true|"labels"'
_GARBAGE: Final = 4096
"""Dropped rows below which it is never worth renumbering the others."""


class Names:
    """Dictionary encoding of texts that many rows share."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}

    def numbers(self, column: pa.Array) -> NDArray[np.int32]:
        """Return the number of each text of a column, -1 for null; new texts get new numbers."""
        encoded = column.dictionary_encode()
        codes = np.array([self._number(it) for it in encoded.dictionary.to_pylist()] or [NONE], np.int32)
        places = encoded.indices.fill_null(NONE).to_numpy(zero_copy_only=False)
        found: NDArray[np.int32] = np.where(places < 0, np.int32(NONE), codes[places])
        return found

    def number(self, name: str) -> int:
        """Return the number of a text, or -2, which no row has, for an unknown text."""
        return self._numbers.get(name, -2)

    def _number(self, name: str) -> int:
        number = self._numbers.setdefault(name, len(self.names))
        if number == len(self.names):
            self.names.append(name)
        return number


class PostColumns:
    """Columns of posts by row number, one array element per row; the number of a dropped row stays unused.

    Only one thread may write. A concurrent reader copies `time`, `given`, `current` and `live` first; in the other
    columns a write only replaces values by newer ones.
    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.row_of: dict[str, int] = {}
        self.sources, self.authors, self.originals = Names(), Names(), Names()
        self.words = PostWords()
        self.looks, self.meaning = CompactVectors(), CompactVectors()
        self.live: Mask = np.zeros(0, np.bool_)
        self.place = _none(np.int64)
        """Place of the row in the table when it was read."""
        self.time = _none(np.int64)
        """Microseconds since 1970: time of posting, or else of the join."""
        self.joined = _none(np.int64)
        self.given = _none(np.int64)
        self.current = _none(np.int64)
        self.source = _none(np.int32)
        self.author = _none(np.int32)
        self.original = _none(np.int32)
        """Number (among `originals`) of the post whose image this one copies; -1 if it is not a copy."""
        self.image: NDArray[np.bytes_] = np.zeros(0, f"S{_KEY}")
        self.sensitive: Mask = np.zeros(0, np.bool_)

    def __len__(self) -> int:
        """Count the rows, without dropped ones."""
        return len(self.row_of)

    @property
    def height(self) -> int:
        """Return the number of rows, dropped ones included."""
        return len(self.ids)

    def changed(self, batch: pa.RecordBatch) -> Mask:
        """Return which rows of a batch of ids and stamps are new or changed; update the places of the others."""
        rows = np.array([self.row_of.get(it, NONE) for it in batch.column("global_id").to_pylist()], np.int64)
        joined, given, current = _times(batch.column("joined_time")), _integers(batch, "cluster"), _currents(batch)
        original = self.originals.numbers(_column(batch, "duplicate_of"))
        same = rows != NONE
        at = rows[same]
        same[same] = (
            (self.joined[at] == joined[same])
            & (self.given[at] == given[same])
            & (self.current[at] == current[same])
            & (self.original[at] == original[same])
        )
        self.place[rows[same]] = batch.column("_rowid").to_numpy()[same].astype(np.int64)
        found: Mask = ~same
        return found

    def put(self, batch: pa.RecordBatch) -> None:
        """Upsert rows with the columns `READ` and, if present, `LATER`."""
        rows = self._rows(batch.column("global_id").to_pylist())
        joined, made = _times(batch.column("joined_time")), _times(_column(batch, "created_time"))
        self.joined[rows] = joined
        self.time[rows] = np.where(made != NO_TIME, made, np.where(joined != NO_TIME, joined, 0))
        self.given[rows], self.current[rows] = _integers(batch, "cluster"), _currents(batch)
        self.source[rows] = self.sources.numbers(_short(_column(batch, "source")))
        self.author[rows] = self.authors.numbers(_short(_column(batch, "author")))
        self.original[rows] = self.originals.numbers(_column(batch, "duplicate_of"))
        keys = pc.fill_null(_column(batch, "picture_sha256"), "").to_pylist()
        self.image[rows] = [it.encode() if len(it) == _KEY and it.isascii() else b"" for it in keys]
        self.sensitive[rows] = _sensitive(_column(batch, "extra"))
        self.place[rows] = batch.column("_rowid").to_numpy().astype(np.int64)
        self.live[rows] = True
        if WORDS[0] in batch.schema.names:
            self.put_later(batch)

    def settle(self, places: NDArray[np.uint64], current: RowNumbers) -> None:
        """Update the current cluster of the rows at these places; unknown places are ignored."""
        rows = np.flatnonzero(self.live[: self.height])
        known = self.place[rows]
        order = np.argsort(known, kind="stable")
        at = np.minimum(np.searchsorted(known[order], places.astype(np.int64)), max(0, len(rows) - 1))
        found = rows[order[at]] if len(rows) else rows
        there = self.place[found] == places[: len(found)].astype(np.int64)
        self.current[found[there]] = current[: len(found)][there]

    def put_later(self, batch: pa.RecordBatch) -> None:
        """Update words and embeddings of known rows; the words of posts without a cluster are not counted."""
        rows = np.array([self.row_of.get(it, NONE) for it in batch.column("global_id").to_pylist()], np.int64)
        known = rows != NONE
        counted = known & (self.given[rows] >= 0)
        texts = [_column(batch, it).filter(pa.array(counted)) for it in WORDS]
        self.words.put(rows[counted], texts)
        self.words.drop(rows[known & ~counted])
        for name, kept in ((LOOKS, self.looks), (MEANING, self.meaning)):
            if name in batch.schema.names:
                vectors, there = vectors_of(batch.column(name))
                kept.put(rows[known & there], vectors[known & there])
                kept.drop(rows[known & ~there])

    def keep(self, present: set[str]) -> None:
        """Drop all rows whose ids are not `present`."""
        self.drop([it for it in self.row_of if it not in present])

    def drop(self, gone: Iterable[str]) -> None:
        """Drop rows by id; unknown ids are ignored."""
        rows = np.array([self.row_of.pop(it) for it in gone if it in self.row_of], np.int64)
        self.live[rows] = False
        self.words.drop(rows)
        self.looks.drop(rows)
        self.meaning.drop(rows)

    def joined_last(self, count: int) -> list[str]:
        """Return the ids of the `count` rows that were joined last, newest first."""
        joined, live = self.joined, self.live
        height = min(self.height, len(joined), len(live))  # another thread may be appending
        joined = np.where(live[:height], joined[:height], NO_TIME)
        last = np.argpartition(joined, -count)[-count:] if count < len(joined) else np.arange(len(joined))
        ordered = last[np.argsort(joined[last], kind="stable")][::-1]
        return [self.ids[it] for it in ordered if live[it]]

    def is_sparse(self) -> bool:
        """Check whether so many rows were dropped that reading all of them again is worth it."""
        return self.height - len(self) > max(_GARBAGE, len(self))

    def places(self, ids: Sequence[str]) -> dict[str, int]:
        """Return the places in the table of the ids that are known."""
        place = self.place
        rows = {it: row for it in ids if (row := self.row_of.get(it, len(place))) < len(place)}
        return dict(zip(rows, place[list(rows.values())].tolist(), strict=True)) if rows else {}

    def _rows(self, ids: list[str]) -> RowNumbers:
        rows = np.zeros(len(ids), np.int64)
        for at, it in enumerate(ids):
            row = self.row_of.get(it)
            if row is None:
                row = self.row_of[it] = len(self.ids)
                self.ids.append(it)
            rows[at] = row
        if self.height > len(self.live):
            self._grow(max(self.height, len(self.live) * 3 // 2, 1024))
        return rows

    def _grow(self, room: int) -> None:
        for name, value in list(vars(self).items()):
            if isinstance(value, np.ndarray):
                longer = np.zeros(room, value.dtype)
                longer[: len(value)] = value
                setattr(self, name, longer)


def _none(kind: type[Any]) -> NDArray[Any]:
    return np.zeros(0, kind)


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    """Return a column of texts, or nulls if an older store lacks it."""
    return batch.column(name) if name in batch.schema.names else pa.nulls(len(batch), pa.string())


def _integers(batch: pa.RecordBatch, name: str) -> RowNumbers:
    found: RowNumbers = pc.fill_null(batch.column(name), NONE).to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def _currents(batch: pa.RecordBatch) -> RowNumbers:
    if "current_cluster" not in batch.schema.names:
        return np.full(len(batch), UNSETTLED)
    column = pc.fill_null(batch.column("current_cluster"), UNSETTLED)
    found: RowNumbers = column.to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def _short(column: pa.Array) -> pa.Array:
    return pc.fill_null(pc.utf8_slice_codeunits(column, 0, _LONGEST_NAME), "")


def _times(column: pa.Array) -> RowNumbers:
    """Parse times to microseconds since 1970; `NO_TIME` if a text is not a time."""
    texts = pc.fill_null(column, "")
    found = np.full(len(texts), NO_TIME)
    iso = pc.match_substring_regex(texts, _ISO).to_numpy(zero_copy_only=False)
    try:
        read = pc.cast(texts.filter(pa.array(iso)), pa.timestamp("us", "UTC"))
        found[iso] = read.cast(pa.int64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:  # such as a 31st of June
        iso[:] = False
    for at in np.flatnonzero(~iso):
        time = time_or_none(texts[int(at)].as_py() or None)
        if time is not None:
            found[at] = round(time.timestamp() * _EPOCH_MICROSECONDS)
    return found


def _sensitive(extras: pa.Array) -> Mask:
    texts = pc.fill_null(extras, "")
    maybe = pc.match_substring_regex(texts, _SAYS_SENSITIVE).to_numpy(zero_copy_only=False).copy()
    for at in np.flatnonzero(maybe):
        maybe[at] = is_sensitive(extra_of({"extra": texts[int(at)].as_py()}))
    found: Mask = maybe
    return found
