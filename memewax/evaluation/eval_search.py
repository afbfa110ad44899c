"""`eval search`: whether who types some words of an image finds it, and is told where there is nothing to find.

Queries are words that follow each other in what people wrote down of an image. A hit is any post that was searched and
whose text, as people wrote it down, holds the words. A quarter of the posts is left out of what is searched, so that
their words ask for what is not there.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import numpy as np
from numpy.typing import NDArray

from core.errors import WorldError
from memewax.evaluation.measures import Figure, Indices, Report, with_intervals
from memewax.evaluation.texts import fold
from search.post_search import PostSearch

LONGEST: Final = 5
"""Words of a query."""
_LEFT_OUT: Final = 4
"""One post in so many is left out."""
_RARE: Final = 5
"""Posts that hold the words of a short query, at most: of a frequent word no one post is meant."""
_MISSPELT: Final = 5
"""Letters of a word that a query is misspelt in, at least."""
_SEED: Final = 0
_LOOKED_AT: Final = 100
_PACKAGES: Final = ("lancedb", "sentence-transformers")
WAYS: Final = ("literal", "meaning", "fused")


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """What is typed, and which posts hold it."""

    text: str
    words: int
    right: frozenset[str]
    is_misspelt: bool


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """Where the first right post stood, by each way of searching: from 1; 0 where it did not."""

    places: Mapping[str, int]
    has_strong: bool
    """Whether anything was found that was not weak."""


Found = Callable[[str], tuple[Mapping[str, Sequence[str]], bool]]
"""Ids of the posts that are found for a text by each way, and whether any of them is strong."""


def measure(texts: Mapping[str, str], find: Found, models: Mapping[str, str]) -> Report:
    """Figures of searching for the words of texts, by id as people wrote them down; raises `WorldError` for too few.

    Args:
        texts: Of all posts; `find` is told of no other.
        find: Searches, and knows nothing of those that are `left_out`.
        models: What made the store and the queries' vectors.
    """
    held = {id_: words_of(text) for id_, text in texts.items()}
    there = {id_: words for id_, words in held.items() if not left_out(id_)}
    random = np.random.default_rng(_SEED)
    asked = [it for id_, words in there.items() for it in _queries(words, there, random)]
    unanswerable = [
        it
        for id_, words in held.items()
        if id_ not in there
        for it in _queries(words, there, random)
        if not it.right and not it.is_misspelt
    ]
    if not asked or not unanswerable:
        raise WorldError(f"{len(texts)} texts are too few to be searched: give some tens, each of some words")
    answers = [_answer(it, find) for it in asked]
    silent = np.array([not _answer(it, find).has_strong for it in unanswerable])
    figures = _figures(asked, answers)
    figures |= with_intervals(len(silent), lambda indices: {"nothing_found.right": float(silent[indices].mean())})
    return Report("search", len(asked), figures, models, _PACKAGES, {"unanswerable": len(unanswerable)})


def left_out(id_: str) -> bool:
    """Whether a post is left out of what is searched."""
    return blake2b(id_.encode(), digest_size=2).digest()[0] % _LEFT_OUT == 0


def words_of(text: str) -> list[str]:
    """The words of a text, without case and marks."""
    return [word for word in fold(text).split() if any(letter.isalnum() for letter in word)]


def found_by(search: PostSearch) -> Found:
    """How a store is searched, without the posts that are left out."""

    def find(text: str) -> tuple[Mapping[str, Sequence[str]], bool]:
        found = search.search(text, _LOOKED_AT)
        every = [it for it in (*found.strong, *found.weak) if not left_out(it.hit.id)]
        literal = [it.hit.id for it in every if it.match != "meaning"]
        near = sorted(every, key=lambda it: -it.hit.similarity)
        ways = {"literal": literal, "meaning": [it.hit.id for it in near], "fused": [it.hit.id for it in every]}
        return ways, any(not left_out(it.hit.id) for it in found.strong)

    return find


def _queries(words: list[str], there: Mapping[str, list[str]], random: np.random.Generator) -> Iterator[SearchQuery]:
    for count in range(1, min(LONGEST, len(words)) + 1):
        start = int(random.integers(len(words) - count + 1))
        said = words[start : start + count]
        right = frozenset(id_ for id_, others in there.items() if set(said) <= set(others))
        yield SearchQuery(" ".join(said), count, right, is_misspelt=False)
        long = [place for place, word in enumerate(said) if len(word) >= _MISSPELT]
        if long:
            place = long[int(random.integers(len(long)))]
            wrong = [*said[:place], _misspelt(said[place], random), *said[place + 1 :]]
            yield SearchQuery(" ".join(wrong), count, right, is_misspelt=True)


def _misspelt(word: str, random: np.random.Generator) -> str:
    """A word with one letter left out, doubled or replaced, but not its first."""
    place = int(random.integers(1, len(word)))
    kind = int(random.integers(3))
    if kind == 0:
        return word[:place] + word[place + 1 :]
    letter = word[place] if kind == 1 else "etaoinsr"[int(random.integers(8))]
    return word[:place] + letter + word[place + (kind == 2) :]


def _answer(query: SearchQuery, find: Found) -> SearchAnswer:
    ways, has_strong = find(query.text)
    places = {
        name: next((place for place, id_ in enumerate(ids, 1) if id_ in query.right), 0) for name, ids in ways.items()
    }
    return SearchAnswer(places, has_strong)


def _figures(queries: Sequence[SearchQuery], answers: Sequence[SearchAnswer]) -> dict[str, Figure]:
    plain = np.array([not it.is_misspelt for it in queries])
    words = np.array([it.words for it in queries])
    rare = np.array([len(it.right) <= _RARE for it in queries])
    spoken = np.array([not it.has_strong for it in answers])
    places = {way: np.array([it.places[way] for it in answers]) for way in WAYS}
    parts = {
        "": plain,
        "words_4_5.": plain & (words >= 4),
        "words_1_2_rare.": plain & (words <= 2) & rare,
        "misspelt.": ~plain & (words >= 3),
    }

    def measured(indices: Indices) -> dict[str, float]:
        found: dict[str, float] = {}
        for part, mask in parts.items():
            chosen = indices[mask[indices]]
            for way in WAYS:
                at = places[way][chosen]
                there = at > 0
                found[f"{part}{way}.recall_at_1"] = _mean(at == 1)
                found[f"{part}{way}.recall_at_5"] = _mean(there & (at <= 5))
                found[f"{part}{way}.mrr"] = _mean(np.where(there, 1 / np.maximum(at, 1), 0.0))
        found["nothing_found.wrong"] = _mean(spoken[indices[plain[indices]]])
        return found

    return with_intervals(len(queries), measured)


def _mean(values: NDArray[np.bool_] | NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else float("nan")
