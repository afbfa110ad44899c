"""The interface of vector search over posts, wherever their vectors are stored."""

from collections.abc import Sequence
from typing import Protocol

from core.records import Vector
from search.corpus import Hit
from search.row_cache import Filter
from search.vector_index import FloatMatrix


class SearchedPosts(Protocol):
    """Posts that can be searched by vector. `Corpus` is one, and returns texts and metadata too."""

    name: str
    """Name of the corpus."""

    def has_at_least(self, count: int) -> bool:
        """Check whether at least `count` posts can be found."""

    def mismatch(self, model: str, vector: Vector) -> str:
        """Explain why a model's vector cannot be compared with those of the posts; return "" if it can."""

    def search(self, vectors: FloatMatrix, k: int, filters: Sequence[Filter | None] | None = None) -> list[list[Hit]]:
        """Find the `k` nearest posts of each unit vector that pass its filter, nearest first.

        Args:
            vectors: Queries, shape (n, dimension), float32, L2-normalised.
            k: Hits per query.
            filters: One filter per query; None for no filter.
        """

    def compare(self, vector: Vector, ids: Sequence[str], filter_: Filter | None = None) -> dict[str, Hit]:
        """Compare a vector with posts given by id; those without a vector, or that do not pass, are left out."""

    def passing(self, ids: Sequence[str], filter_: Filter) -> list[str]:
        """Return the ids of posts that exist and pass a filter."""

    def vector(self, id_: str) -> Vector | None:
        """Return the unit vector of a post, or None if it has none."""

    def mean(self) -> Vector:
        """Return the mean of all vectors, or an estimate of it: shape (dimension,)."""
