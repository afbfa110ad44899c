"""Posts that can be searched by a vector: what a search asks of them, wherever their vectors lie."""

from collections.abc import Sequence
from typing import Protocol

from core.records import Vector
from search.corpus import Hit
from search.row_cache import Filter
from search.vector_index import FloatMatrix


class SearchedPosts(Protocol):
    """Posts with a vector each; `Corpus` is such, with all that it tells of them besides."""

    name: str

    def holds(self, least: int) -> bool:
        """Whether so many can be found."""

    def misfit(self, model: str, vector: Vector) -> str:
        """Why a vector of a model cannot be compared with those that are here; empty where it can."""

    def search(self, vectors: FloatMatrix, k: int, filters: Sequence[Filter | None] | None = None) -> list[list[Hit]]:
        """The `k` nearest posts of each vector, of length 1, nearest first, of those that its filter lets through."""

    def compared(self, vector: Vector, ids: Sequence[str], one: Filter | None = None) -> dict[str, Hit]:
        """Some posts, by their ids, as hits of a vector; those that are not there, or do not pass, are left out."""

    def passing(self, ids: Sequence[str], one: Filter) -> list[str]:
        """Those of some ids that are there and that a filter lets through."""

    def vector(self, id_: str) -> Vector | None:
        """The vector of a post; None where there is no such post, or it has none."""

    def mean(self) -> Vector:
        """The mean of all vectors."""
