"""Posts by their words: what is typed, as full-text queries over the captions and what was read in pictures."""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from connectors.sinks.record_table import POSTS, SEARCHED
from connectors.store.store_folder import READ_ERRORS, opened, read_latest
from connectors.store.table_upkeep import has_index
from core.errors import WorldError, first_line
from search.unindexed_words import UnindexedWords

MOST: Final = 200
"""Posts of each kind of match that are looked at."""
_MOST_WORDS: Final = 32
"""Of what is typed: a longer text is looked for by its meaning."""
_SLIP: Final = range(5, 41)
"""Letters of a word of which one may be wrong: a longer word is in no index, and takes long to look for so."""
_EXCLUDED: Final = 10_000
_PART: Final = re.compile(r'(?P<no>-?)(?:"(?P<phrase>[^"]*)"|(?P<word>\S+))')
_WORD: Final = re.compile(r"\w+(?:['’]\w+)*")  # noqa: RUF001 - as phones write it
_ID: Final = "global_id"


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
    """Full-text queries over the posts of a store; for one thread at a time.

    Args:
        store: Its folder.
        refresh_seconds: How old what is searched may be; 0: it is what is there when it is asked.

    Raises:
        WorldError: where there is no table of posts.
    """

    def __init__(self, store: Path, refresh_seconds: float = 0.0) -> None:
        self._store = store
        self._refresh_seconds = refresh_seconds
        self._look_at = 0.0
        try:
            self._table = opened(store).open_table(POSTS)
        except READ_ERRORS as error:
            raise WorldError(f"{store} holds no posts: {first_line(error)}") from None
        self._unindexed = UnindexedWords(self._table)
        self._has_indexes = False
        self._version = 0

    def can_search(self) -> bool:
        """Whether there are full-text indexes: a store of an earlier version has none."""
        return bool(self._read(lambda: self._has_indexes))

    def find(self, typed: Typed) -> WordMatches:
        """Posts that have the words; raises `WorldError` where the store cannot be read.

        Where `MOST` have all of the words, those that nearly have or have some are not looked for.
        """
        words, phrases = [_any(it) for it in typed.words], [_any_phrase(it) for it in typed.phrases]
        if not (words or phrases) or not self.can_search():
            return WordMatches()
        never = [_any_phrase(it) for it in typed.without]
        every = self._ids(_query([*words, *phrases], never=never))
        if len(every) >= MOST:
            return WordMatches(tuple(every))
        slips = [_any(it, 1 if len(it) in _SLIP else 0) for it in typed.words]
        may_slip = any(len(it) in _SLIP for it in typed.words)
        nearly = self._ids(_query([*slips, *phrases], never=never)) if may_slip else []
        some = self._ids(_query(phrases, words, never)) if len(words) > 1 else []
        return WordMatches(tuple(every), tuple(_new(nearly, every)), tuple(_new(some, every, nearly)))

    def having(self, without: Iterable[str]) -> set[str]:
        """Ids of posts that have any of some words and phrases, as far as these are no more than some thousands."""
        never = [_any_phrase(it) for it in without]
        return set(self._ids(_query(should=never), _EXCLUDED)) if never and self.can_search() else set()

    def having_all(self, phrases: Iterable[str]) -> set[str]:
        """Ids of posts that have all of some phrases."""
        wanted = [_any_phrase(it) for it in phrases]
        return set(self._ids(_query(wanted), _EXCLUDED)) if wanted and self.can_search() else set()

    def _ids(self, query: Any, most: int = MOST) -> list[str]:
        def read() -> list[str]:
            new = self._unindexed.table
            main = self._table.search(query, query_type="fts")
            found = [*(main.fast_search() if new is not None else main).limit(most).select([_ID, "_score"]).to_list()]
            if new is not None:
                found += new.search(query, query_type="fts").limit(most).select([_ID, "_score"]).to_list()
            ordered = sorted(found, key=lambda row: (-row["_score"], row[_ID]))
            return list(dict.fromkeys(row[_ID] for row in ordered))[:most]

        ids: list[str] = self._read(read)
        return ids

    def _read(self, read: Callable[[], Any]) -> Any:
        def latest() -> Any:
            if time.monotonic() >= self._look_at:
                self._refresh()
                self._look_at = time.monotonic() + self._refresh_seconds
            return read()

        try:
            return read_latest(latest)
        except READ_ERRORS as error:
            self._unindexed = UnindexedWords(self._table)
            self._version, self._look_at = 0, 0.0
            raise WorldError(f"{self._store} cannot be searched: {first_line(error)}") from None

    def _refresh(self) -> None:
        self._table.checkout_latest()
        if self._table.version != self._version:
            self._has_indexes = all(has_index(self._table, it) for it in SEARCHED)
            if self._has_indexes:
                self._unindexed.refresh()
            self._version = self._table.version


def _new(ids: list[str], *known: list[str]) -> list[str]:
    seen = {id_ for those in known for id_ in those}
    return [id_ for id_ in ids if id_ not in seen]


def _fts() -> Any:
    """The queries of LanceDB, imported when they are needed: that takes a second."""
    return import_module("lancedb.query")


def _any(word: str, slips: int = 0) -> Any:
    """A word in any of the columns."""
    fts = _fts()
    return fts.BooleanQuery([(fts.Occur.SHOULD, fts.MatchQuery(word, column, fuzziness=slips)) for column in SEARCHED])


def _any_phrase(phrase: str) -> Any:
    """Words that follow each other in any of the columns."""
    fts = _fts()
    return fts.BooleanQuery([(fts.Occur.SHOULD, fts.PhraseQuery(phrase, column)) for column in SEARCHED])


def _query(must: Iterable[Any] = (), should: Iterable[Any] = (), never: Iterable[Any] = ()) -> Any:
    kinds = _fts().Occur
    parts = [(kinds.MUST, it) for it in must]
    parts += [(kinds.SHOULD, it) for it in should]
    parts += [(kinds.MUST_NOT, it) for it in never]
    return _fts().BooleanQuery(parts)
