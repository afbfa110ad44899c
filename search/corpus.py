"""Corpora: texts with vectors and metadata that are stored in a table, searched in memory and kept up to date."""

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa

from connectors.store.interface import ROW_ID, ReadCursor, StorePlace
from connectors.store.lance_tables import tables_of
from connectors.store.store_folder import read_latest
from core.errors import WorldError
from core.records import Vector
from models.identity import is_same
from search.corpus_layout import layout_of, vectors_of
from search.corpus_store import corpus_folder, open_table, table_id
from search.index_choice import IndexChoice
from search.reduction import Projection
from search.row_cache import Filter, RowCache
from search.vector_index import MISSING, FlatIndex, FloatMatrix, Mask, RowNumbers, VectorIndex

_TAKE: Final = 4096
"""Changed rows that are read at once."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A search hit: one of the nearest rows."""

    id: str
    text: str
    similarity: float
    """Cosine, -1 to 1."""
    distance: float
    """Euclidean distance of the unit vectors, 0 to 2."""
    metadata: dict[str, Any]
    """`source`, `created` and `language` if the row has them, and its other columns."""


_BY_SIZE: Final = IndexChoice()


class Corpus:
    """A corpus that is open for searching. Not thread-safe.

    `refresh` reads what the store's writers added, changed and deleted; between refreshes the corpus does not change.
    """

    def __init__(
        self, store: StorePlace, name: str, vectors: str | None, choice: IndexChoice, projection: Projection | None
    ) -> None:
        """Load the corpus; see `open`."""
        layout = layout_of(name, vectors)
        self.name = name
        self._choice = choice
        self._projection = projection
        self._store = store
        self._identity = tables_of(store).identity(name)
        self._table = open_table(store, name)
        self._layout = layout
        self.model = ""
        self._index: VectorIndex
        self._begin()
        self.refresh()

    @classmethod
    def open(
        cls,
        store: StorePlace,
        name: str,
        vectors: str | None = None,
        index: IndexChoice = _BY_SIZE,
        reduced: str | None = None,
    ) -> "Corpus":
        """Open a corpus and load all of it.

        Args:
            store: The store, or its folder.
            name: Name of the corpus; `posts` is the table of posts that the flow writes.
            vectors: Vector column of `posts` to search: `text_embedding`, or `embeddings` (of the images).
            index: Policy by which the index is chosen.
            reduced: Name of a reduction, such as `trained-150`; cosines are then those of the reduced vectors.

        Raises:
            WorldError: There is no such corpus (the message lists the others) or reduction, or the reduction was made
                for another model.
        """
        projection = None if reduced is None else Projection.load(corpus_folder(store, name), reduced)
        return cls(store, name, vectors, index, projection)

    @property
    def dimension(self) -> int:
        """Return the dimension of the stored vectors and of queries (before a reduction)."""
        return int(self._table.schema.field(self._layout.vector).type.list_size)

    @property
    def index(self) -> VectorIndex:
        """Return the index, which holds the vectors."""
        return self._index

    def count(self) -> int:
        """Count the rows that can be found, which are those with a vector."""
        return len(self._index)

    def has_at_least(self, count: int) -> bool:
        """Check whether at least `count` rows can be found."""
        return self.count() >= count

    def mismatch(self, model: str, vector: Vector) -> str:
        """Explain why a model's vector cannot be compared with the corpus's; return an empty string if it can."""
        return mismatch_of(self.name, self.model, self.dimension, model, vector)

    def ids(self) -> set[str]:
        """Return the ids of all rows."""
        return self._rows.ids()

    def vector(self, id_: str) -> Vector | None:
        """Return a row's vector as the index holds it (reduced, if a reduction is in use), or None if it has none."""
        rows = self._rows.numbers([id_])
        rows = rows[rows < self._index.height]
        return self._index.vectors[rows[0]].copy() if len(rows) and self._index.live[rows[0]] else None

    def mean(self) -> Vector:
        """Return the mean of all vectors in the index: shape (dimension of the index,); zeros if there are none."""
        live = self._index.live.astype(np.float32)
        mean: Vector = live @ self._index.vectors / max(1.0, float(live.sum()))
        return mean

    def refresh(self) -> int:
        """Read what changed in the store since the last refresh; return the number of added, changed and deleted rows.

        If nothing changed, it only compares the table's version.

        Raises:
            WorldError: The corpus cannot be read (it was dropped, for instance), or the reduction was made for another
                model.
        """
        try:
            changes = read_latest(self._follow)
        except WorldError as error:
            raise WorldError(f"the corpus {self.name!r} cannot be read: {error}") from error
        if not changes:
            return 0
        self._index = self._choice.convert(self._index)
        self.model = self.model or self._layout.model(self._table)
        if self._projection is not None and not is_same(self._projection.model, self.model):
            raise WorldError(
                f"the reduction {self._projection.name} of {self.name!r} was made for {self._projection.model}, but "
                f"the corpus holds vectors of {self.model}: make it again with `memewax corpus reduce`"
            )
        return changes

    def search(self, vectors: FloatMatrix, k: int, filters: Sequence[Filter | None] | None = None) -> list[list[Hit]]:
        """Find the `k` nearest rows of each query that pass the query's filter.

        Args:
            vectors: Queries, shape (n, dimension), float32, L2-normalised.
            k: Hits per query, at least 1.
            filters: One filter per query; None for no filter.

        Returns:
            Hits of each query, nearest first.

        Raises:
            BadRecordError: A filter names a column that this corpus does not have.
        """
        wanted = filters or [None] * len(vectors)
        if len(wanted) != len(vectors):
            raise ValueError(f"{len(vectors)} vectors, but {len(wanted)} filters")
        if self._projection is not None:
            vectors = self._projection(vectors)
        rows = np.full((len(wanted), k), MISSING, np.int64)
        similarities = np.zeros((len(wanted), k), np.float32)
        for filter_ in dict.fromkeys(wanted):
            queries = [number for number, other in enumerate(wanted) if other == filter_]
            found = self._index.search(vectors[queries], k, self._allowed(filter_))
            rows[queries], similarities[queries] = found.rows, found.similarities
        there = rows != MISSING
        hits = iter(self._hits(rows[there], similarities[there]))
        return [list(islice(hits, count)) for count in np.count_nonzero(there, axis=1)]

    def compare(self, vector: Vector, ids: Sequence[str], filter_: Filter | None = None) -> dict[str, Hit]:
        """Compare a vector with rows given by id; return hits by id.

        Rows that are unknown, have no vector or do not pass the filter are left out.

        Args:
            vector: Shape (dimension,), L2-normalised.
            ids: Ids of rows.
            filter_: The filter, if any.

        Raises:
            BadRecordError: The filter names a column that this corpus does not have.
        """
        rows = self._rows.numbers(ids)
        rows = rows[rows < self._index.height]
        rows = rows[self._index.live[rows]]
        allowed = self._allowed(filter_)
        if allowed is not None:
            rows = rows[allowed[rows]]
        reduced = vector[None] if self._projection is None else self._projection(vector[None])
        similarities = self._index.vectors[rows] @ np.asarray(reduced[0], np.float32)
        return {hit.id: hit for hit in self._hits(rows, np.clip(similarities, -1, 1))}

    def passing(self, ids: Sequence[str], filter_: Filter) -> list[str]:
        """Return the ids whose rows exist and pass a filter; raise `BadRecordError` as `search` does."""
        return self._rows.passing(ids, self._rows.allowed(filter_, self._index.height, self.name))

    def _allowed(self, filter_: Filter | None) -> Mask | None:
        return None if filter_ is None else self._rows.allowed(filter_, self._index.height, self.name)

    def _hits(self, rows: np.ndarray[Any, np.dtype[np.int64]], similarities: FloatMatrix) -> list[Hit]:
        found = zip(self._rows.rows(rows), similarities, strict=True)
        return [hit_of(row, float(similarity)) for row, similarity in found]

    def _begin(self) -> None:
        self._index = FlatIndex(self.dimension if self._projection is None else self._projection.dimensions)
        self._rows = RowCache()
        self._version: Hashable = None
        self._seen = ReadCursor()
        self.model = ""

    def _reopen_if_recreated(self) -> None:
        """Reopen a table that was dropped and recreated under its name; the old handle would not see the new one."""
        found = tables_of(self._store).identity(self.name)
        if found == self._identity:
            return
        made = table_id(self._table)
        self._table = open_table(self._store, self.name)
        self._identity = found
        if made != table_id(self._table):
            self._begin()

    def _follow(self) -> int:
        self._reopen_if_recreated()
        version, seen = self._table.refresh(), self._seen.copy()
        if version == self._version:
            return 0
        changes = self._read_changes(seen)
        self._version, self._seen = version, seen  # only now: after an error the same changes are read again
        return changes

    def _read_changes(self, seen: ReadCursor) -> int:
        changed = 0
        if not seen.position:
            for batch in self._table.since(seen, self._layout.all):
                changed += self._take_in(batch)
        else:
            for keys, places in self._changed(seen):
                taken = self._table.rows(keys, self._layout.all, dict(zip(keys, places, strict=True)))
                for batch in taken.to_batches():
                    changed += self._take_in(batch)
        if seen.gone is not None:
            changed += self._drop(self._rows.drop(seen.gone))
        elif self._table.count() != len(self._rows):
            changed += self._drop(self._rows.keep(self._present()))
        return changed

    def _changed(self, seen: ReadCursor) -> Iterator[tuple[list[str], list[int]]]:
        """Yield keys and places of rows whose stamp changed; rows moved by a compaction keep their stamp."""
        changed: list[tuple[str, int]] = []
        for batch in self._table.since(seen, [self._layout.id, self._layout.stamp]):
            ids = batch.column(self._layout.id).to_pylist()
            stamps = batch.column(self._layout.stamp).to_pylist()
            places = batch.column(ROW_ID).to_pylist()
            of_each = zip(ids, places, self._rows.stamps(ids), stamps, strict=True)
            changed += [(id_, place) for id_, place, old, new in of_each if old != new]
        for start in range(0, len(changed), _TAKE):
            some = changed[start : start + _TAKE]
            yield [it[0] for it in some], [it[1] for it in some]

    def _take_in(self, batch: pa.RecordBatch) -> int:
        vectors, there = vectors_of(batch.column(self._layout.vector))
        rows = self._rows.put(self._layout.form(batch))
        self._index.remove(rows[~there])
        self._index.put(rows[there], vectors[there] if self._projection is None else self._projection(vectors[there]))
        return len(rows)

    def _present(self) -> set[str]:
        present: set[str] = set()
        for batch in self._table.batches([self._layout.id]):
            present.update(batch.column(0).to_pylist())
        return present

    def _drop(self, rows: RowNumbers) -> int:
        self._index.remove(rows)
        return len(rows)


def mismatch_of(corpus: str, own: str, dimension: int, model: str, vector: Vector) -> str:
    """Explain why a model's vector cannot be compared with a corpus's; return an empty string if it can.

    Args:
        corpus: Name of the corpus.
        own: Model of the corpus's vectors.
        dimension: Dimension of the corpus's vectors.
        model: Model that made the vector.
        vector: The vector, shape (any,).
    """
    if not is_same(model, own):
        return f"corpus {corpus!r} was embedded by {own}, but the query by {model}: choose the same model"
    if vector.size != dimension:
        return f"corpus {corpus!r} holds vectors of dimension {dimension}, but the query's has {vector.size}"
    return ""


def hit_of(row: dict[str, Any], cosine: float) -> Hit:
    """Make a hit of a row with the schema `FORM` and its cosine with the query."""
    return Hit(row["id"], row["text"] or "", cosine, math.sqrt(max(0.0, 2.0 - 2.0 * cosine)), _metadata(row))


def _metadata(row: dict[str, Any]) -> dict[str, Any]:
    created: datetime | None = row["created"]
    own = {"source": row["source"], "created": created and created.isoformat(), "language": row["language"]}
    brought: dict[str, Any] = orjson.loads(row["metadata"] or "{}")
    return brought | {name: value for name, value in own.items() if value is not None}
