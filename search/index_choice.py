"""Which index searches a corpus: by its size, or as the settings say."""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from search.search_settings import SearchSettings
from search.vector_index import FlatIndex, VectorIndex


@dataclass(frozen=True, slots=True)
class IndexChoice:
    """How an index is chosen."""

    kind: Literal["auto", "exact", "onebit"] = "auto"
    exact_rows: int = 200_000
    """auto: up to so many rows all are compared."""
    shortlist: int = 500
    """Rows whose exact cosine is looked at by an index that is not exact."""

    @classmethod
    def of(cls, settings: SearchSettings) -> Self:
        """As the settings say."""
        return cls(settings.index, settings.index_exact_rows, settings.index_shortlist)

    def suited(self, index: VectorIndex) -> VectorIndex:
        """The index itself, or one of another kind that holds the same rows."""
        if index.name == self._kind_for(index):
            return index
        other = self._made(self._kind_for(index), index.dimension)
        rows = np.flatnonzero(index.live)
        other.put(rows, index.vectors[rows])
        return other

    def _kind_for(self, index: VectorIndex) -> str:
        if self.kind != "auto":
            return self.kind
        from search.binary_index import LEAST_DIMENSION

        # once it has grown it stays, lest a corpus at the threshold change to and fro
        many = len(index) > self.exact_rows or index.name == "onebit"
        return "onebit" if many and index.dimension >= LEAST_DIMENSION else "exact"

    def _made(self, kind: str, dimension: int) -> VectorIndex:
        if kind == "exact":
            return FlatIndex(dimension)
        from search.binary_index import BinaryIndex  # faiss takes a while to import

        return BinaryIndex(dimension, self.shortlist)
