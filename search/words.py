"""Full-text search of posts: a typed query, over captions and the text read in images."""

import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.sinks.record_table import POSTS, SEARCHED
from connectors.store.interface import SearchTerm, StorePlace, UnsupportedError, WordQuery, WordReader
from connectors.store.lance_tables import tables_of
from core.errors import WorldError
from core.telemetry import log

MOST: Final = 200
"""Most posts per kind of match."""
_MOST_WORDS: Final = 32
"""Most words of a query; a longer text is found by its meaning."""
_SLIP: Final = range(5, 41)
"""Lengths of words in which one letter may be wrong: longer words are not indexed, and slow to match like this."""
_EXCLUDED: Final = 10_000
_DEEPER: Final = 10
"""Factor by which more hits are read if too few pass a filter."""
_DEEPEST: Final = 200_000
"""Most hits that are read."""
_PART: Final = re.compile(r'(?P<no>-?)(?:"(?P<phrase>[^"]*)"|(?P<word>\S+))')
_WORD: Final = re.compile(r"\w+(?:['’]\w+)*")  # noqa: RUF001 - the apostrophe that phones write


Passing = Callable[[list[str]], list[str]]
"""Returns those of some ids that pass a filter, in order."""


@dataclass(frozen=True, slots=True)
class ParsedQuery:
    """A parsed query: `cat "exact phrase" -dog`."""

    words: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    """Words and phrases that a post must not have."""

    @classmethod
    def of(cls, text: str) -> "ParsedQuery":
        """Parse a query; duplicates are dropped, and at most `_MOST_WORDS` words and phrases kept of each kind.

        Examples:
            >>> ParsedQuery.of('cat "exact phrase" -dog')
            ParsedQuery(words=('cat',), phrases=('exact phrase',), without=('dog',))
        """
        words: list[str] = []
        phrases: list[str] = []
        without: list[str] = []
        for part in _PART.finditer(text):
            said = part["phrase"] if part["phrase"] is not None else part["word"]
            found = _WORD.findall(said)
            if part["no"]:
                without += [" ".join(found)] if found else []
            elif part["phrase"] is not None and len(found) > 1:
                phrases.append(" ".join(found))
            else:
                words += found
        return cls(*(tuple(dict.fromkeys(it))[:_MOST_WORDS] for it in (words, phrases, without)))

    @property
    def meaning(self) -> str:
        """Return the text to embed for semantic search: words and phrases, without excluded ones."""
        return " ".join((*self.words, *self.phrases))


@dataclass(frozen=True, slots=True)
class WordMatches:
    """Ids of posts by kind of match, best first by BM25; the three lists are disjoint."""

    all: tuple[str, ...] = ()
    """Posts with every word and phrase."""
    nearly: tuple[str, ...] = ()
    """Posts with every phrase and word, where one letter of a long word may be wrong."""
    some: tuple[str, ...] = ()
    """Posts with some of the words."""


class WordIndex:
    """Full-text index of the posts of a store. Thread-safe; one thread at a time refreshes it.

    Args:
        store: The store, or its folder.
        refresh_seconds: Greatest age of the index; 0 to refresh it for each query.

    Raises:
        WorldError: The store has no table of posts.
    """

    def __init__(self, store: StorePlace, refresh_seconds: float = 0.0) -> None:
        self._refresh_seconds = refresh_seconds
        self._look_at = 0.0
        self._looking = threading.Lock()
        self._has_indexes: bool | None = None
        """None before the first refresh."""
        tables = tables_of(store)
        if not tables.has(POSTS):
            raise WorldError(f"{tables} holds no posts")
        try:
            self._words: WordReader = tables.table(POSTS).words(SEARCHED)
        except UnsupportedError:  # semantic search still works
            self._words = _NoWords()

    def can_search(self) -> bool:
        """Check whether there are full-text indexes: stores of earlier versions, and of some kinds, have none."""
        is_new = self._has_indexes is None
        if time.monotonic() >= self._look_at and self._looking.acquire(blocking=is_new or not self._refresh_seconds):
            if is_new or not self._refresh_seconds:
                self._look()
            else:  # in the background; queries use the old version meanwhile
                threading.Thread(target=self._look_aside, name="words", daemon=True).start()
        return bool(self._has_indexes)

    def find(self, typed: ParsedQuery, passing: Passing | None = None, enough: int = MOST) -> WordMatches:
        """Find posts by words.

        Args:
            typed: The parsed query.
            passing: The filter, if any; posts that do not pass do not count towards the limits.
            enough: If this many posts have all words, weaker matches are not searched for.

        Raises:
            WorldError: The store cannot be read.
        """
        words = tuple(SearchTerm(it) for it in typed.words)
        phrases = tuple(SearchTerm(it, is_phrase=True) for it in typed.phrases)
        if not (words or phrases) or not self.can_search():
            return WordMatches()
        never = tuple(SearchTerm(it, is_phrase=True) for it in typed.without)
        (every,) = self._ids([WordQuery((*words, *phrases), never=never)], MOST, passing)
        if len(every) >= min(enough, MOST):
            return WordMatches(tuple(every))
        slips = tuple(SearchTerm(it, slips=1 if len(it) in _SLIP else 0) for it in typed.words)
        may_slip = any(len(it) in _SLIP for it in typed.words)
        weaker: dict[str, WordQuery] = {}
        if may_slip:
            weaker["nearly"] = WordQuery((*slips, *phrases), never=never)
        if len(words) > 1:
            weaker["some"] = WordQuery(phrases, words, never)
        found = dict(zip(weaker, self._ids(list(weaker.values()), MOST, passing), strict=True))
        nearly = found.get("nearly", [])
        return WordMatches(tuple(every), tuple(_new(nearly, every)), tuple(_new(found.get("some", []), every, nearly)))

    def having(self, without: Iterable[str]) -> set[str]:
        """Return the ids of posts that have any of the words and phrases, at most 10,000."""
        never = tuple(SearchTerm(it, is_phrase=True) for it in without)
        return self._having(WordQuery(should=never)) if never and self.can_search() else set()

    def having_all(self, phrases: Iterable[str]) -> set[str]:
        """Return the ids of posts that have all of the phrases, at most 10,000."""
        wanted = tuple(SearchTerm(it, is_phrase=True) for it in phrases)
        return self._having(WordQuery(wanted)) if wanted and self.can_search() else set()

    def _having(self, query: WordQuery) -> set[str]:
        (found,) = self._ids([query], _EXCLUDED)
        return set(found)

    def _look(self) -> None:
        """Refresh the index unless another thread just did; the caller has acquired `_looking`, which this releases."""
        try:
            if time.monotonic() >= self._look_at:
                self._has_indexes = self._words.refresh()
                self._look_at = time.monotonic() + self._refresh_seconds
        finally:
            self._looking.release()

    def _look_aside(self) -> None:
        try:
            self._look()
        except WorldError as error:  # the next query will raise it
            log.warning("the full-text index cannot be refreshed at the moment", error=str(error))

    def _ids(self, queries: Sequence[WordQuery], most: int, passing: Passing | None = None) -> list[list[str]]:
        """Return the ids that match each query and pass the filter, best first; read more hits if too few pass."""
        passed: list[list[str]] = [[] for _ in queries]
        left = list(range(len(queries)))
        looked_at = most
        while left:
            found = self._words.find([queries[at] for at in left], looked_at)
            for at, some in zip(left, found, strict=True):
                ids = [id_ for id_, _ in some]
                passed[at] = (ids if passing is None else passing(ids))[:most]
            if looked_at >= _DEEPEST:
                break
            may_find_more = {at for at, some in zip(left, found, strict=True) if len(some) >= looked_at}
            left = [at for at in left if at in may_find_more and len(passed[at]) < most]
            looked_at *= _DEEPER
        return passed


class _NoWords(WordReader):
    """Full-text search of a store that has none: finds nothing."""

    def refresh(self) -> bool:
        """Return False: there are no indexes."""
        return False

    def find(self, queries: Sequence[WordQuery], most: int) -> list[list[tuple[str, float]]]:  # noqa: ARG002
        """Return no hits."""
        return [[] for _ in queries]


def _new(ids: list[str], *known: list[str]) -> list[str]:
    seen = {id_ for those in known for id_ in those}
    return [id_ for id_ in ids if id_ not in seen]
