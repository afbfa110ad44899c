"""Vector search over the posts that a `StoreReader` follows. Searching is thread-safe."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from core.records import Vector
from models.identity import is_same
from search.compact_vectors import CompactVectors
from search.corpus import Hit
from search.corpus_layout import POSTS
from search.post_columns import PostColumns
from search.row_cache import Filter
from search.vector_index import FloatMatrix, Mask, RowNumbers


class FollowedVectors:
    """`SearchedPosts` in memory, by image or by text embedding.

    Hits have only ids and distances, no text or metadata. Of a filter, only `ids` is applied.

    Args:
        columns: Returns the current columns of the posts.
        vectors: Selects image or text embeddings of these.
        model: Returns the name of the model of the vectors; empty if there are none yet.
    """

    name = POSTS

    def __init__(
        self,
        columns: Callable[[], PostColumns],
        vectors: Callable[[PostColumns], CompactVectors],
        model: Callable[[], str],
    ) -> None:
        self._columns, self._vectors, self._model = columns, vectors, model

    def has_at_least(self, count: int) -> bool:
        """Check whether at least `count` posts can be found."""
        return len(self._vectors(self._columns())) >= count

    def mismatch(self, model: str, vector: Vector) -> str:
        """Explain why a model's vector cannot be compared with those of the posts; return "" if it can."""
        own, dimension = self._model(), self._vectors(self._columns()).dimension
        if own and not is_same(model, own):
            return f"the posts were embedded by {own}, but the query by {model}: choose the same model"
        if dimension and vector.size != dimension:
            return f"the posts have vectors of dimension {dimension}, but the query's has {vector.size}"
        return ""

    def search(self, vectors: FloatMatrix, k: int, filters: Sequence[Filter | None] | None = None) -> list[list[Hit]]:
        """Find the `k` nearest posts of each vector that pass its filter, nearest first."""
        columns = self._columns()
        compact = self._vectors(columns)
        found = []
        for vector, filter_ in zip(vectors, filters or [None] * len(vectors), strict=True):
            rows, cosines = compact.nearest(vector, k, _among(columns, filter_))
            found.append(_hits(columns, rows, cosines))
        return found

    def compare(self, vector: Vector, ids: Sequence[str], filter_: Filter | None = None) -> dict[str, Hit]:
        """Compare a vector with posts given by id; those without a vector, or that do not pass, are left out."""
        columns = self._columns()
        compact = self._vectors(columns)
        allowed = None if filter_ is None else filter_.ids
        known = (columns.row_of.get(it) for it in ids if allowed is None or it in allowed)
        rows = np.array([row for row in known if row is not None], np.int64)
        rows = rows[compact.has(rows)]
        return {hit.id: hit for hit in _hits(columns, rows, compact.cosines(vector, rows))} if len(rows) else {}

    def passing(self, ids: Sequence[str], filter_: Filter) -> list[str]:
        """Return the ids of posts that exist and pass a filter."""
        known = self._columns().row_of
        return [it for it in ids if it in known and (filter_.ids is None or it in filter_.ids)]

    def vector(self, id_: str) -> Vector | None:
        """Return the vector of a post, or None if it has none."""
        columns = self._columns()
        compact, row = self._vectors(columns), columns.row_of.get(id_)
        rows = np.array([] if row is None else [row], np.int64)
        found: Vector | None = compact.vectors(rows)[0] if compact.has(rows).any() else None
        return found

    def mean(self) -> Vector:
        """Return the mean of all vectors."""
        return self._vectors(self._columns()).mean()


def _among(columns: PostColumns, filter_: Filter | None) -> Mask | None:
    if filter_ is None or filter_.ids is None:
        return None
    known = (columns.row_of.get(it) for it in filter_.ids)
    found: Mask = np.zeros(columns.height, np.bool_)
    found[[row for row in known if row is not None]] = True
    return found


def _hits(columns: PostColumns, rows: RowNumbers, cosines: np.ndarray[tuple[int], np.dtype[np.float32]]) -> list[Hit]:
    return [
        Hit(columns.ids[row], "", float(cosine), math.sqrt(max(0.0, 2.0 - 2.0 * float(cosine))), {})
        for row, cosine in zip(rows, cosines, strict=True)
    ]
