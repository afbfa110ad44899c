"""Posts by their words: what is typed, as full-text queries over the captions and what was read in images."""

import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.sinks.record_table import POSTS, SEARCHED
from connectors.store.interface import StorePlace, UnsupportedError, WordQuery, WordReader, WordsWanted
from connectors.store.lance_tables import tables_of
from core.errors import WorldError
from core.telemetry import log

MOST: Final = 200
"""Posts of each kind of match that are looked at."""
_MOST_WORDS: Final = 32
"""Of what is typed: a longer text is looked for by its meaning."""
_SLIP: Final = range(5, 41)
"""Letters of a word of which one may be wrong: a longer word is in no index, and takes long to look for so."""
_EXCLUDED: Final = 10_000
_DEEPER: Final = 10
"""So many times as many hits are looked at where a filter lets too few through."""
_DEEPEST: Final = 200_000
"""Hits that are looked at."""
_PART: Final = re.compile(r'(?P<no>-?)(?:"(?P<phrase>[^"]*)"|(?P<word>\S+))')
_WORD: Final = re.compile(r"\w+(?:['’]\w+)*")  # noqa: RUF001 - as phones write it


Passing = Callable[[list[str]], list[str]]


@dataclass(frozen=True, slots=True)
class Typed:
    """What somebody typed: `cat "exact phrase" -dog`."""

    words: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    """Words and phrases that a post must not have."""

    @classmethod
    def of(cls, text: str) -> "Typed":
        """Take a text apart; each word once, and no more than `_MOST_WORDS`."""
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
        """The words that say what is wanted, for what is looked for by meaning."""
        return " ".join((*self.words, *self.phrases))


@dataclass(frozen=True, slots=True)
class WordMatches:
    """Ids of posts by how their words match, the best first by BM25; each id is in one of the lists."""

    all: tuple[str, ...] = ()
    """They have every word and phrase."""
    nearly: tuple[str, ...] = ()
    """The same, where a letter of a long word may be wrong."""
    some: tuple[str, ...] = ()
    """They have some of the words."""


class WordIndex:
    """Full-text queries over the posts of a store; for any number of threads, of which one at a time looks for news.

    Args:
        store: The store, or its folder.
        refresh_seconds: How old what is searched may be; 0: it is what is there when it is asked.

    Raises:
        WorldError: where there is no table of posts.
    """

    def __init__(self, store: StorePlace, refresh_seconds: float = 0.0) -> None:
        self._refresh_seconds = refresh_seconds
        self._look_at = 0.0
        self._looking = threading.Lock()
        self._has_indexes: bool | None = None
        """None: not known yet."""
        tables = tables_of(store)
        if not tables.has(POSTS):
            raise WorldError(f"{tables} holds no posts")
        try:
            self._words: WordReader = tables.table(POSTS).words(SEARCHED)
        except UnsupportedError:  # what is meant can still be found
            self._words = _NoWords()

    def can_search(self) -> bool:
        """Whether there are full-text indexes: a store of an earlier version has none, and some kinds never have."""
        is_new = self._has_indexes is None
        if time.monotonic() >= self._look_at and self._looking.acquire(blocking=is_new or not self._refresh_seconds):
            if is_new or not self._refresh_seconds:
                self._look()
            else:  # whoever asks meanwhile goes on with what is known
                threading.Thread(target=self._look_aside, name="words", daemon=True).start()
        return bool(self._has_indexes)

    def find(self, typed: Typed, passing: Passing | None = None, enough: int = MOST) -> WordMatches:
        """Posts that have the words; raises `WorldError` where the store cannot be read.

        Args:
            typed: The words.
            passing: Gives those of some ids that a filter lets through; what does not pass takes nobody's place.
            enough: Where so many have all of the words, those that nearly have or have some are not looked for.
        """
        words = tuple(WordsWanted(it) for it in typed.words)
        phrases = tuple(WordsWanted(it, is_phrase=True) for it in typed.phrases)
        if not (words or phrases) or not self.can_search():
            return WordMatches()
        never = tuple(WordsWanted(it, is_phrase=True) for it in typed.without)
        (every,) = self._ids([WordQuery((*words, *phrases), never=never)], MOST, passing)
        if len(every) >= min(enough, MOST):
            return WordMatches(tuple(every))
        slips = tuple(WordsWanted(it, slips=1 if len(it) in _SLIP else 0) for it in typed.words)
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
        """Ids of posts that have any of some words and phrases, as far as these are no more than some thousands."""
        never = tuple(WordsWanted(it, is_phrase=True) for it in without)
        return self._having(WordQuery(should=never)) if never and self.can_search() else set()

    def having_all(self, phrases: Iterable[str]) -> set[str]:
        """Ids of posts that have all of some phrases."""
        wanted = tuple(WordsWanted(it, is_phrase=True) for it in phrases)
        return self._having(WordQuery(wanted)) if wanted and self.can_search() else set()

    def _having(self, query: WordQuery) -> set[str]:
        (found,) = self._ids([query], _EXCLUDED)
        return set(found)

    def _look(self) -> None:
        """Look for news, as the one who may, unless another just did."""
        try:
            if time.monotonic() >= self._look_at:
                self._has_indexes = self._words.refresh()
                self._look_at = time.monotonic() + self._refresh_seconds
        finally:
            self._looking.release()

    def _look_aside(self) -> None:
        try:
            self._look()
        except WorldError as error:  # what is asked next will tell
            log.warning("the words of posts cannot be brought up to date just now", error=str(error))

    def _ids(self, queries: Sequence[WordQuery], most: int, passing: Passing | None = None) -> list[list[str]]:
        """For each query ids, the best first."""
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
    """Of a store that has no full-text search."""

    def refresh(self) -> bool:
        """There are no indexes."""
        return False

    def find(self, queries: Sequence[WordQuery], most: int) -> list[list[tuple[str, float]]]:  # noqa: ARG002
        """Nothing."""
        return [[] for _ in queries]


def _new(ids: list[str], *known: list[str]) -> list[str]:
    seen = {id_ for those in known for id_ in those}
    return [id_ for id_ in ids if id_ not in seen]
