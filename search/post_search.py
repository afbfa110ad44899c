"""Hybrid search of posts: full-text and semantic at once, for one search box.

Hits by words (BM25) and by cosine of sentence embeddings are merged with reciprocal rank fusion. Posts that have all
words come first. Posts that have few of the words and a different meaning are weak hits; if all hits are weak, nothing
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
from search.words import MOST, ParsedQuery, WordIndex, WordMatches

RANK: Final = 60
"""Constant k of reciprocal rank fusion: the value that its authors found best, and that is in common use."""
_SURE: Final = 0.5
"""Smallest cosine of query and post at which the post is a strong hit, whatever its words."""
Match = Literal["all words", "nearly all words", "some words", "meaning", "looks"]
"""The strongest reason why a post was found."""


@dataclass(frozen=True, slots=True)
class FoundPost:
    """A hit, and why it was found."""

    hit: Hit
    match: Match


@dataclass(frozen=True, slots=True)
class FoundPosts:
    """Result of a search."""

    strong: tuple[FoundPost, ...] = ()
    """Best first; empty if nothing was found."""
    weak: tuple[FoundPost, ...] = ()
    """Less certain hits, best first: to be shown folded."""
    by_words: bool = True
    """Whether there is a full-text index: stores of earlier versions and in Cassandra have none."""


@dataclass(slots=True)
class PostSearch:
    """Hybrid search of the posts of a store. Not thread-safe.

    Args:
        corpus: The posts by text embedding.
        words: Full-text index of the same store.
        embed: Embeds a text.
        model: Name of the model that `embed` uses; must be that of the corpus.
        sure: Smallest cosine at which a post is a strong hit, whatever its words.
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
        """Make the search of a store's posts.

        Args:
            corpus: The posts by text embedding, open.
            store: The store, or its folder.
            model: The text model, or why it could not be loaded.
            refresh_seconds: Greatest age of the full-text index.

        Raises:
            WorldError: The store has no posts.
        """

        def embed(text: str) -> Vector | Failure:
            return model if isinstance(model, Failure) else model([text])[0]

        return cls(corpus, WordIndex(store, refresh_seconds), embed, "" if isinstance(model, Failure) else model.name)

    def search(self, text: str, k: int = 20, filter_: Filter | None = None) -> FoundPosts:
        """Find posts for a query of words, `"exact phrases"` and excluded `-words`.

        Args:
            text: The query.
            k: Most strong hits, and most weak hits, to return.
            filter_: The filter, if any.

        Raises:
            WorldError: The store cannot be read.
            BadRecordError: The filter names a column that posts do not have, or the query cannot be embedded.
        """
        typed = ParsedQuery.of(text)
        if not typed.meaning:
            return FoundPosts()
        vector = self.embed(typed.meaning)
        if isinstance(vector, Failure):
            raise BadRecordError(f"the query cannot be embedded: {vector.reason}")
        if mismatch := self.corpus.mismatch(self.model, vector):
            raise BadRecordError(mismatch)
        literal = self.words.find(typed, None if filter_ is None else lambda ids: self.corpus.passing(ids, filter_), k)
        near = self._near(typed, vector, filter_)
        ranked = fuse(literal, list(near))
        hits = near | self.corpus.compare(vector, [id_ for id_ in ranked if id_ not in near], filter_)
        found = [FoundPost(hits[id_], match) for id_, match in ranked.items() if id_ in hits]
        strong = [it for it in found if self._is_strong(it)]
        weak = [it for it in found if not self._is_strong(it)]
        return FoundPosts(tuple(strong[:k]), tuple(weak[:k]), self.words.can_search())

    def _is_strong(self, it: FoundPost) -> bool:
        return it.match in ("all words", "nearly all words") or it.hit.similarity >= self.sure

    def _near(self, typed: ParsedQuery, vector: Vector, filter_: Filter | None) -> dict[str, Hit]:
        """Return the nearest posts by id, without excluded words and with all phrases."""
        (hits,) = self.corpus.search(np.ascontiguousarray(vector[None], np.float32), MOST, [filter_])
        never = self.words.having(typed.without)
        always = self.words.having_all(typed.phrases) if typed.phrases else None
        return {it.id: it for it in hits if it.id not in never and (always is None or it.id in always)}


def like_in_words(corpus: SearchedPosts, global_id: str, k: int = 20, filter_: Filter | None = None) -> FoundPosts:
    """Find posts whose text means the same as a post's, without the post itself; none if it has no text embedding.

    No model runs: the stored embedding is the query.
    """
    vector = corpus.vector(global_id)
    if vector is None:
        return FoundPosts()
    (hits,) = corpus.search(vector[None], 2 * k + 1, [filter_])
    found = [FoundPost(it, "meaning") for it in hits if it.id != global_id]
    strong = [it for it in found if it.hit.similarity >= _SURE]
    return FoundPosts(tuple(strong[:k]), tuple([it for it in found if it.hit.similarity < _SURE][:k]))


def fuse(literal: WordMatches, near: list[str]) -> dict[str, Match]:
    """Merge full-text and semantic hits with reciprocal rank fusion; return why each id was found, best first.

    Posts with all words come first, whatever their meaning, and then those with nearly all words.
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


def answer_by_text(query: Query, posts: PostSearch) -> Answer:
    """Answer a query by text: strong hits first, then weak ones up to k.

    The metadata of each hit have `found_by` and `weak`. Never raises: a failure is an answer too.
    """
    start = perf_counter()
    answer = Answer(query.id, query.text, posts.corpus.name, query.k, posts.model, trace=query.trace)
    try:
        found = posts.search(query.text, query.k, query.filter)
    except Exception as error:
        return replace(answer, error=Failure.of("search", error))
    return replace(answer, hits=hits_of(found)[: query.k], timing={"search": perf_counter() - start})


def hits_of(found: FoundPosts) -> tuple[Hit, ...]:
    """Convert found posts to hits, strong ones first, with `found_by` and `weak` in their metadata."""
    return tuple(
        replace(it.hit, metadata={**it.hit.metadata, "found_by": it.match, "weak": is_weak})
        for those, is_weak in ((found.strong, False), (found.weak, True))
        for it in those
    )
