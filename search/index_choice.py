"""Choice of a corpus's index: by the corpus's size, or fixed by the settings."""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from search.search_settings import SearchSettings
from search.vector_index import FlatIndex, VectorIndex


@dataclass(frozen=True, slots=True)
class IndexChoice:
    """Policy by which an index is chosen."""

    kind: Literal["auto", "exact", "onebit"] = "auto"
    exact_rows: int = 200_000
    """For auto: largest number of rows that the exact index searches."""
    shortlist: int = 500
    """Candidates per query that an approximate index ranks by exact cosine."""

    @classmethod
    def of(cls, settings: SearchSettings) -> Self:
        """Read the policy from the settings."""
        return cls(settings.index, settings.index_exact_rows, settings.index_shortlist)

    def convert(self, index: VectorIndex) -> VectorIndex:
        """Return the index itself, or its rows in an index of the kind that suits its size."""
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

        # a grown index never shrinks back, so a corpus at the threshold does not flip between the two kinds
        many = len(index) > self.exact_rows or index.name == "onebit"
        return "onebit" if many and index.dimension >= LEAST_DIMENSION else "exact"

    def _made(self, kind: str, dimension: int) -> VectorIndex:
        if kind == "exact":
            return FlatIndex(dimension)
        from search.binary_index import BinaryIndex  # faiss takes a while to import

        return BinaryIndex(dimension, self.shortlist)
