"""`eval search`: whether a few words of an image's text find it, and whether nothing is found if it is not there.

Queries are runs of consecutive words of transcribed texts. A right hit is any indexed post whose transcription has all
the words. A quarter of the posts is left out of the index, so that queries from their texts have no answer.
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
"""Most words of a query."""
_LEFT_OUT: Final = 4
"""One post in this many is left out of the index."""
_RARE: Final = 5
"""Most right posts of a short query that counts as rare: a frequent word does not mean any one post."""
_MISSPELT: Final = 5
"""Fewest letters of a word that is misspelt."""
_SEED: Final = 0
_LOOKED_AT: Final = 100
_PACKAGES: Final = ("lancedb", "sentence-transformers")
WAYS: Final = ("literal", "meaning", "fused")


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A query, and the posts that answer it."""

    text: str
    words: int
    right: frozenset[str]
    """Ids of the posts whose text has all the words, correctly spelt."""
    is_misspelt: bool


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """Result of a query."""

    places: Mapping[str, int]
    """Rank of the first right post by each of `WAYS`, from 1; 0 if there was none."""
    has_strong: bool
    """Whether there was a strong hit."""


FindByText = Callable[[str], tuple[Mapping[str, Sequence[str]], bool]]
"""Searches by text; returns the ids of the hits by each of `WAYS`, and whether any of them is strong."""


def measure(texts: Mapping[str, str], find: FindByText, models: Mapping[str, str]) -> Report:
    """Measure search by words of transcribed texts.

    Args:
        texts: Transcribed text of each post, by id.
        find: Searches by text among the posts that are not `left_out`.
        models: Names of the models that embedded posts and queries.

    Raises:
        WorldError: There are too few texts.
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
        raise WorldError(f"{len(texts)} texts are too few to measure search: give a few dozen of a few words each")
    answers = [_answer(it, find) for it in asked]
    silent = np.array([not _answer(it, find).has_strong for it in unanswerable])
    figures = _figures(asked, answers)
    figures |= with_intervals(len(silent), lambda indices: {"nothing_found.right": float(silent[indices].mean())})
    return Report("search", len(asked), figures, models, _PACKAGES, {"unanswerable": len(unanswerable)})


def left_out(id_: str) -> bool:
    """Check whether a post is left out of the index; the choice depends only on its id."""
    return blake2b(id_.encode(), digest_size=2).digest()[0] % _LEFT_OUT == 0


def words_of(text: str) -> list[str]:
    """Split a text into lower-cased words without punctuation."""
    return [word for word in fold(text).split() if any(letter.isalnum() for letter in word)]


def found_by(search: PostSearch) -> FindByText:
    """Return a function that searches a store by text, without the posts that are `left_out`."""

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
    """Misspell a word: drop, double or replace one letter other than the first."""
    place = int(random.integers(1, len(word)))
    kind = int(random.integers(3))
    if kind == 0:
        return word[:place] + word[place + 1 :]
    letter = word[place] if kind == 1 else "etaoinsr"[int(random.integers(8))]
    return word[:place] + letter + word[place + (kind == 2) :]


def _answer(query: SearchQuery, find: FindByText) -> SearchAnswer:
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
