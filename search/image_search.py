"""Posts by the looks of an image: somebody's own, or that of a post.

All embeddings of images share one large mean, so that the cosine of any two is high and says little. Images are
compared by the cosine of what is left when the store's mean is taken off, once there are enough posts for a mean.
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
"""Nearest posts that are put in order by what is left without the mean."""
_ENOUGH: Final = 64
"""Posts from which on their mean is known well enough."""
_SURE: Final = 0.7
"""Cosine without the mean from which on two images show the same thing (docs/quality.md has how often)."""
_SURE_OF_FEW: Final = 0.92
"""Cosine from which on they do where the mean is not known."""


@dataclass(frozen=True, slots=True)
class ImageSearch:
    """Searches the posts of a store by the looks of their images; for one thread.

    Args:
        corpus: The posts by their images.
    """

    corpus: SearchedPosts

    def search(self, vector: Vector, model: str, k: int = 20, one: Filter | None = None) -> FoundPosts:
        """The posts whose images look like one: strong where they show the same, weak where they are only near.

        Args:
            vector: The embedding of the image, of length 1.
            model: What made it; empty where it is that of a post.
            k: How many strong ones, and how many weak ones, are given at most.
            one: What posts must have besides.

        Raises:
            BadRecordError: where the store's images were embedded by another model.
        """
        if model and (misfit := self.corpus.misfit(model, vector)):
            raise BadRecordError(misfit)
        (hits,) = self.corpus.search(np.ascontiguousarray(vector[None], np.float32), max(k, _LOOKED_AT), [one])
        scores = self._scores(vector, hits)
        sure = _SURE if self.corpus.holds(_ENOUGH) else _SURE_OF_FEW
        ranked = sorted(zip(hits, scores, strict=True), key=lambda it: (-it[1], it[0].id))
        strong = [FoundPost(hit, "looks") for hit, score in ranked if score >= sure]
        weak = [FoundPost(hit, "looks") for hit, score in ranked if score < sure]
        return FoundPosts(tuple(strong[:k]), tuple(weak[:k]))

    def like(self, global_id: str, k: int = 20, one: Filter | None = None) -> FoundPosts:
        """The posts whose images look like that of a post, without it; none where it has no embedding."""
        vector = self.corpus.vector(global_id)
        if vector is None:
            return FoundPosts()
        found = self.search(vector, "", k + 1, one)
        strong, weak = ([it for it in some if it.hit.id != global_id] for some in (found.strong, found.weak))
        return FoundPosts(tuple(strong[:k]), tuple(weak[:k]))

    def _scores(self, vector: Vector, hits: list[Hit]) -> list[float]:
        if not self.corpus.holds(_ENOUGH):
            return [it.similarity for it in hits]
        mean = self.corpus.mean()
        own = vector - mean
        scores = []
        for it in hits:
            other = self.corpus.vector(it.id)
            left = np.zeros_like(own) if other is None else other - mean
            length = float(np.linalg.norm(own) * np.linalg.norm(left))
            scores.append(float(own @ left) / length if length else 0.0)
        return scores


def answered_by_looks(it: EmbeddedQuery, images: ImageSearch) -> Answer:
    """The answer to a query by an image: strong posts first, then weak ones as far as it asks for more.

    Each hit's metadata say that it was `found_by` its looks, and whether it is `weak`. Raises nothing.
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
    """What looks like an image and has the words, by ranks: strong where both are, weak where one is."""
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
