"""Search by image: an uploaded one, or that of a post.

All image embeddings share a large mean, so the cosine of any two is high and says little. Once there are enough posts
to estimate the mean, it is subtracted before images are compared.
"""

from dataclasses import dataclass, replace
from time import perf_counter
from typing import Final

import numpy as np

from core.errors import BadRecordError
from core.records import Failure, Vector
from search.answer import Answer
from search.answering import EmbeddedQuery
from search.corpus import Hit
from search.post_search import RANK, FoundPost, FoundPosts, hits_of
from search.row_cache import Filter
from search.searched_posts import SearchedPosts

_LOOKED_AT: Final = 200
"""Nearest posts that are re-ranked by the cosine without the mean."""
_ENOUGH: Final = 64
"""Posts that suffice to estimate the mean."""
_SURE: Final = 0.7
"""Smallest cosine without the mean at which two images show the same thing; docs/measurements/quality.md."""
_SURE_OF_FEW: Final = 0.92
"""The same for plain cosines, while the mean is not known."""


@dataclass(frozen=True, slots=True)
class ImageSearch:
    """Searches the posts of a store by image. Not thread-safe.

    Args:
        corpus: The posts by image embedding.
    """

    corpus: SearchedPosts

    def search(self, vector: Vector, model: str, k: int = 20, filter_: Filter | None = None) -> FoundPosts:
        """Find posts with similar images: strong hits show the same thing, weak hits are only near.

        Args:
            vector: Embedding of the image, shape (dimension,), L2-normalised.
            model: Model that made it; empty for the vector of a post.
            k: Most strong hits, and most weak hits, to return.
            filter_: The filter, if any.

        Raises:
            BadRecordError: The store's images were embedded by another model.
        """
        if model and (mismatch := self.corpus.mismatch(model, vector)):
            raise BadRecordError(mismatch)
        (hits,) = self.corpus.search(np.ascontiguousarray(vector[None], np.float32), max(k, _LOOKED_AT), [filter_])
        scores = self._scores(vector, hits)
        sure = _SURE if self.corpus.has_at_least(_ENOUGH) else _SURE_OF_FEW
        ranked = sorted(zip(hits, scores, strict=True), key=lambda it: (-it[1], it[0].id))
        strong = [FoundPost(hit, "looks") for hit, score in ranked if score >= sure]
        weak = [FoundPost(hit, "looks") for hit, score in ranked if score < sure]
        return FoundPosts(tuple(strong[:k]), tuple(weak[:k]))

    def like(self, global_id: str, k: int = 20, filter_: Filter | None = None) -> FoundPosts:
        """Find posts whose images are similar to a post's, without the post itself; none if it has no embedding."""
        vector = self.corpus.vector(global_id)
        if vector is None:
            return FoundPosts()
        found = self.search(vector, "", k + 1, filter_)
        strong, weak = ([it for it in some if it.hit.id != global_id] for some in (found.strong, found.weak))
        return FoundPosts(tuple(strong[:k]), tuple(weak[:k]))

    def _scores(self, vector: Vector, hits: list[Hit]) -> list[float]:
        if not self.corpus.has_at_least(_ENOUGH):
            return [it.similarity for it in hits]
        mean = self.corpus.mean()
        query = vector - mean
        scores = []
        for it in hits:
            stored = self.corpus.vector(it.id)
            other = np.zeros_like(query) if stored is None else stored - mean
            length = float(np.linalg.norm(query) * np.linalg.norm(other))
            scores.append(float(query @ other) / length if length else 0.0)
        return scores


def answer_by_image(it: EmbeddedQuery, images: ImageSearch) -> Answer:
    """Answer a query by image: strong hits first, then weak ones up to k.

    The metadata of each hit have `found_by` (`looks`) and `weak`. Never raises: a failure is an answer too.
    """
    start = perf_counter()
    query = it.query
    answer = Answer(query.id, "", images.corpus.name, query.k, it.model, trace=query.trace)
    if isinstance(it.vector, Failure):
        return replace(answer, error=it.vector)
    try:
        found = images.search(it.vector, it.model, query.k, query.filter)
    except Exception as error:
        return replace(answer, error=Failure.of("search", error))
    timing = {"embed": it.seconds, "search": perf_counter() - start}
    return replace(answer, hits=hits_of(found)[: query.k], timing=timing)


def with_words(looks: FoundPosts, words: FoundPosts, k: int) -> FoundPosts:
    """Merge hits by image and by words with reciprocal rank fusion; only hits that are strong in both are strong."""
    scores: dict[str, float] = {}
    posts: dict[str, FoundPost] = {}
    for found in (looks, words):
        for rank, it in enumerate((*found.strong, *found.weak), 1):
            scores[it.hit.id] = scores.get(it.hit.id, 0.0) + 1 / (RANK + rank)
            posts[it.hit.id] = it
    both = {it.hit.id for it in looks.strong} & {it.hit.id for it in words.strong}
    ranked = [posts[id_] for id_ in sorted(scores, key=lambda id_: (-scores[id_], id_))]
    strong = [it for it in ranked if it.hit.id in both]
    weak = [it for it in ranked if it.hit.id not in both]
    return FoundPosts(tuple(strong[:k]), tuple(weak[:k]), words.by_words)
