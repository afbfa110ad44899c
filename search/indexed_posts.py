"""Vector search over posts by the store's own vector index: nothing is held in memory."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa

from connectors.store.interface import COSINE, EVERY, Condition, StorePlace, TableReader, UnsupportedError, Where
from connectors.store.lance_tables import tables_of
from core.records import Vector
from search.corpus import Hit, hit_of, mismatch_of
from search.corpus_layout import POSTS, Layout, layout_of, vectors_of
from search.query import By
from search.row_cache import Filter
from search.searched_posts import SearchedPosts
from search.vector_index import FloatMatrix, unit

_SAMPLE: Final = 2000
"""Posts that the mean is estimated from; its standard error is about 1/45 of their standard deviation."""
_ANY: Final = Filter()


class IndexedPosts:
    """`SearchedPosts` by the store's own vector index. Not thread-safe.

    Args:
        table: Table of posts with an index over the column of vectors.
        layout: Adapter of the table.
        otherwise: Returns the fallback for filters that the store cannot apply.
    """

    name = POSTS

    def __init__(self, table: TableReader, layout: Layout, otherwise: Callable[[], SearchedPosts]) -> None:
        self._table = table
        self._layout = layout
        self._otherwise = otherwise
        self._vectors: dict[str, Vector] = {}
        """Vectors of the hits of the last search, by id."""

    def has_at_least(self, count: int) -> bool:
        """Check whether at least `count` posts can be found."""
        if count <= _SAMPLE:
            return len(self._sample) >= count
        return self._table.count() >= count

    def mismatch(self, model: str, vector: Vector) -> str:
        """Explain why a model's vector cannot be compared with those of the posts; return "" if it can."""
        return mismatch_of(self.name, self._model, self._dimension, model, vector)

    def search(self, vectors: FloatMatrix, k: int, filters: Sequence[Filter | None] | None = None) -> list[list[Hit]]:
        """Find the `k` nearest posts of each vector that pass its filter, nearest first."""
        self._vectors = {}
        return [
            self._search(vector, k, filter_)
            for vector, filter_ in zip(vectors, filters or [None] * len(vectors), strict=True)
        ]

    def compare(self, vector: Vector, ids: Sequence[str], filter_: Filter | None = None) -> dict[str, Hit]:
        """Compare a vector with posts given by id; those without a vector, or that do not pass, are left out."""
        where = _where(filter_)
        if where is None:
            return self._otherwise().compare(vector, ids, filter_)
        found = self._table.rows(ids, self._layout.all).to_pylist() if ids else []
        kept = [row for row in found if all(row[it.column] == it.value for it in where) and row[self._layout.vector]]
        query = vector / max(float(np.linalg.norm(vector)), 1e-12)
        cosines = [float(unit(np.array([row[self._layout.vector]], np.float32))[0] @ query) for row in kept]
        hits = self._hits([{**row, COSINE: cosine} for row, cosine in zip(kept, cosines, strict=True)])
        return {it.id: it for it in hits}

    def passing(self, ids: Sequence[str], filter_: Filter) -> list[str]:
        """Return the ids of posts that exist and pass a filter."""
        where = _where(filter_)
        if where is None:
            return self._otherwise().passing(ids, filter_)
        found = self._table.rows(ids, [it.column for it in where]).to_pylist() if ids else []
        kept = {row[self._layout.id] for row in found if all(row[it.column] == it.value for it in where)}
        return [it for it in ids if it in kept]

    def vector(self, id_: str) -> Vector | None:
        """Return the unit vector of a post, or None if it has none."""
        if (known := self._vectors.get(id_)) is not None:
            return known
        rows = self._table.rows([id_], [self._layout.vector]).to_pylist()
        stored = rows[0][self._layout.vector] if rows else None
        return None if stored is None else _unit_of(stored)

    def mean(self) -> Vector:
        """Estimate the mean of all vectors from a sample of posts that does not depend on their content."""
        found: Vector = self._sample.mean(axis=0) if len(self._sample) else np.zeros(self._dimension, np.float32)
        return found

    def _search(self, vector: Vector, k: int, filter_: Filter | None) -> list[Hit]:
        where = _where(filter_)
        if where is not None:
            try:
                found = self._table.nearest(self._layout.vector, vector, k, self._layout.all, where)
            except UnsupportedError:  # too few of the nearest pass the filter
                if not where:
                    raise
            else:
                self._vectors |= {row[self._layout.id]: _unit_of(row[self._layout.vector]) for row in found}
                return self._hits(found)
        (hits,) = self._otherwise().search(vector[None], k, [filter_])
        return hits

    def _hits(self, rows: Sequence[dict[str, Any]]) -> list[Hit]:
        if not rows:
            return []
        there = self._table.schema
        schema = pa.schema([there.field(it) for it in dict.fromkeys(self._layout.all)])
        formed = self._layout.form(pa.RecordBatch.from_pylist(list(rows), schema=schema)).to_pylist()
        return [hit_of(it, row[COSINE]) for it, row in zip(formed, rows, strict=True)]

    @property
    def _dimension(self) -> int:
        return int(self._table.schema.field(self._layout.vector).type.list_size)

    @cached_property
    def _model(self) -> str:
        return self._layout.model(self._table)

    @cached_property
    def _sample(self) -> FloatMatrix:
        column = self._layout.vector
        found = self._table.to_arrow([column], [Condition(column, "is not null")], limit=_SAMPLE)
        vectors, there = vectors_of(found.column(column).combine_chunks())
        return unit(vectors[there])


def indexed_posts(store: StorePlace, by: By, otherwise: Callable[[], SearchedPosts]) -> IndexedPosts | None:
    """Return the posts of a store by text or image; None if the store has no index over these, or no posts."""
    tables, layout = tables_of(store), layout_of(POSTS, "embeddings" if by == "image" else None)
    if not tables.has(POSTS):
        return None
    table = tables.table(POSTS)
    return IndexedPosts(table, layout, otherwise) if table.has_index(layout.vector) else None


def _where(filter_: Filter | None) -> Where | None:
    """Convert a filter to conditions; None if it filters by what is not stored as such in a column, such as a time."""
    if filter_ is None or filter_ == _ANY:
        return EVERY
    return [Condition("source", "=", filter_.source)] if filter_ == replace(_ANY, source=filter_.source) else None


def _unit_of(numbers: Sequence[float]) -> Vector:
    found: Vector = unit(np.array([numbers], np.float32))[0]
    return found
