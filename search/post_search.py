"""Posts by words and by meaning at once: what somebody types into one box.

Hits by words (BM25) and by the cosine of sentence embeddings are merged by reciprocal rank fusion. Posts that have all
of the words come first. What has few of them and means something else is weak; where all that is found is weak, nothing
was found.

References:
    Cormack, Clarke, Büttcher: Reciprocal rank fusion outperforms Condorcet and individual rank learning methods.
    SIGIR 2009.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Final, Literal, Self

import numpy as np

from connectors.store.interface import StorePlace
from core.errors import BadRecordError
from core.records import Failure, Vector
from models.base import Embedder
from search.answer import Answer
from search.corpus import Hit
from search.query import Query
from search.row_cache import Filter
from search.searched_posts import SearchedPosts
from search.words import MOST, Typed, WordIndex, WordMatches

RANK: Final = 60
"""Of reciprocal rank fusion: what its authors found best, and what others use."""
_SURE: Final = 0.5
"""Cosine of a post and what is typed from which on it is what was meant, whatever its words."""
Match = Literal["all words", "nearly all words", "some words", "meaning", "looks"]
"""Why a post was found: the strongest reason."""


@dataclass(frozen=True, slots=True)
class FoundPost:
    """A post that was found."""

    hit: Hit
    match: Match


@dataclass(frozen=True, slots=True)
class FoundPosts:
    """What a search found."""

    strong: tuple[FoundPost, ...] = ()
    """The best first; none where nothing was found."""
    weak: tuple[FoundPost, ...] = ()
    """What might be meant: to be folded below a line."""
    by_words: bool = True
    """Whether words were looked for: a store of an earlier version, or in Cassandra, has no index of them."""


@dataclass(slots=True)
class PostSearch:
    """Searches the posts of a store; for one thread.

    Args:
        corpus: The posts by their text.
        words: The same store's words.
        embed: Gives the vector of a text.
        model: That does so: it must be that of the corpus.
        sure: Cosine from which on a post is what was meant, whatever its words.
    """

    corpus: SearchedPosts
    words: WordIndex
    embed: Callable[[str], Vector | Failure]
    model: str
    sure: float = field(default=_SURE)

    @classmethod
    def of(
        cls, corpus: SearchedPosts, store: StorePlace, model: Embedder[str] | Failure, refresh_seconds: float = 0.0
    ) -> Self:
        """The search of a store's posts; raises `WorldError` where there are none.

        Args:
            corpus: Its posts, open.
            store: The store, or its folder.
            model: What embeds texts, or why there is nothing that does.
            refresh_seconds: How old its words may be.
        """

        def embed(text: str) -> Vector | Failure:
            return model if isinstance(model, Failure) else model([text])[0]

        return cls(corpus, WordIndex(store, refresh_seconds), embed, "" if isinstance(model, Failure) else model.name)

    def search(self, text: str, k: int = 20, one: Filter | None = None) -> FoundPosts:
        """The posts that fit what is typed: words, `"exact phrases"`, and `-words` that are not wanted.

        Args:
            text: What is typed.
            k: How many strong ones, and how many weak ones, are given at most.
            one: What posts must have besides.

        Raises:
            WorldError: where the store cannot be read.
            BadRecordError: where the filter asks for what no post has, or what is typed cannot be embedded.
        """
        typed = Typed.of(text)
        if not typed.meaning:
            return FoundPosts()
        vector = self.embed(typed.meaning)
        if isinstance(vector, Failure):
            raise BadRecordError(f"what is typed cannot be embedded: {vector.reason}")
        if misfit := self.corpus.misfit(self.model, vector):
            raise BadRecordError(misfit)
        literal = self.words.find(typed, None if one is None else lambda ids: self.corpus.passing(ids, one), k)
        near = self._near(typed, vector, one)
        ranked = fused(literal, list(near))
        hits = near | self.corpus.compared(vector, [id_ for id_ in ranked if id_ not in near], one)
        found = [FoundPost(hits[id_], match) for id_, match in ranked.items() if id_ in hits]
        strong = [it for it in found if self._is_strong(it)]
        weak = [it for it in found if not self._is_strong(it)]
        return FoundPosts(tuple(strong[:k]), tuple(weak[:k]), self.words.can_search())

    def _is_strong(self, it: FoundPost) -> bool:
        return it.match in ("all words", "nearly all words") or it.hit.similarity >= self.sure

    def _near(self, typed: Typed, vector: Vector, one: Filter | None) -> dict[str, Hit]:
        """The nearest posts by id."""
        (hits,) = self.corpus.search(np.ascontiguousarray(vector[None], np.float32), MOST, [one])
        never = self.words.having(typed.without)
        always = self.words.having_all(typed.phrases) if typed.phrases else None
        return {it.id: it for it in hits if it.id not in never and (always is None or it.id in always)}


def like_in_words(corpus: SearchedPosts, global_id: str, k: int = 20, one: Filter | None = None) -> FoundPosts:
    """The posts whose words mean what those of a post mean, without it; none where it has no words. No model runs."""
    vector = corpus.vector(global_id)
    if vector is None:
        return FoundPosts()
    (hits,) = corpus.search(vector[None], 2 * k + 1, [one])
    found = [FoundPost(it, "meaning") for it in hits if it.id != global_id]
    strong = [it for it in found if it.hit.similarity >= _SURE]
    return FoundPosts(tuple(strong[:k]), tuple([it for it in found if it.hit.similarity < _SURE][:k]))


def fused(literal: WordMatches, near: list[str]) -> dict[str, Match]:
    """Ids of posts and why each was found, the best first.

    Those that have all words come before the others, whatever their meaning, and then those that nearly have.
    """
    by_words: list[tuple[str, Match]] = [
        *((id_, "all words") for id_ in literal.all),
        *((id_, "nearly all words") for id_ in literal.nearly),
        *((id_, "some words") for id_ in literal.some),
    ]
    scores: defaultdict[str, float] = defaultdict(float)
    for ids in ([id_ for id_, _ in by_words], near):
        for rank, id_ in enumerate(ids, 1):
            scores[id_] += 1 / (RANK + rank)
    matches: dict[str, Match] = dict.fromkeys(near, "meaning")
    matches |= dict(by_words)
    order = {"all words": 0, "nearly all words": 1}
    best = sorted(scores, key=lambda id_: (order.get(matches[id_], 2), -scores[id_], id_))
    return {id_: matches[id_] for id_ in best}


def answered(query: Query, posts: PostSearch) -> Answer:
    """The answer to a query by text: strong posts first, then weak ones as far as it asks for more.

    Each hit's metadata say how it was `found_by`, and whether it is `weak`. Raises nothing: a failure is an answer too.
    """
    start = perf_counter()
    answer = Answer(query.id, query.text, posts.corpus.name, query.k, posts.model, trace=query.trace)
    try:
        found = posts.search(query.text, query.k, query.filter)
    except Exception as error:
        return replace(answer, error=Failure.of("search", error))
    return replace(answer, hits=hits_of(found)[: query.k], timing={"search": perf_counter() - start})


def hits_of(found: FoundPosts) -> tuple[Hit, ...]:
    """What was found as hits, strong ones first; their metadata say how each was `found_by`, and if it is `weak`."""
    return tuple(
        replace(it.hit, metadata={**it.hit.metadata, "found_by": it.match, "weak": is_weak})
        for those, is_weak in ((found.strong, False), (found.weak, True))
        for it in those
    )
