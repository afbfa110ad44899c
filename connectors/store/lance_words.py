"""Full-text search over a table of LanceDB, by its indexes and over what is in none of them yet."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final

from connectors.store.interface import WordQuery, WordReader, WordsWanted
from connectors.store.store_folder import READ_ERRORS, read_latest
from connectors.store.table_upkeep import has_index
from connectors.store.unindexed_words import UnindexedWords
from core.errors import WorldError, first_line

_SCORE: Final = "_score"


class LanceWords(WordReader):
    """Words in some columns of a table.

    Args:
        address: Of the store.
        key: Column of the table's keys.
        table: As LanceDB opens it.
        columns: That are searched.
    """

    def __init__(self, address: str, key: str, table: Any, columns: Sequence[str]) -> None:
        self._address = address
        self._key = key
        self._table = table
        self._columns = tuple(columns)
        self._unindexed = UnindexedWords(table, columns)
        self._has_indexes = False
        self._version = 0

    def refresh(self) -> bool:
        """Bring what is in no index yet up to date, where the table has changed."""
        self._reading(self._refresh)
        return self._has_indexes

    def find(self, query: WordQuery, most: int) -> list[tuple[str, float]]:
        """In the indexes, and in memory what is in none; a row that is in both counts once."""
        lance = self._lance(query)

        def read() -> list[tuple[str, float]]:
            new = self._unindexed.table
            main = self._table.search(lance, query_type="fts")
            queries = [main] if new is None else [main.fast_search(), new.search(lance, query_type="fts")]
            best: dict[str, float] = {}
            for each in queries:
                found = each.limit(most).select([self._key, _SCORE]).to_arrow()
                for key, score in zip(found[self._key].to_pylist(), found[_SCORE].to_pylist(), strict=True):
                    best[key] = max(score, best.get(key, score))
            return sorted(best.items(), key=lambda it: (-it[1], it[0]))[:most]

        found: list[tuple[str, float]] = self._reading(read)
        return found

    def _refresh(self) -> None:
        self._table.checkout_latest()
        if self._table.version != self._version:
            self._has_indexes = all(has_index(self._table, it) for it in self._columns)
            if self._has_indexes:
                self._unindexed.refresh()
            self._version = self._table.version

    def _reading(self, read: Callable[[], Any]) -> Any:
        def again() -> Any:
            try:
                return read()
            except READ_ERRORS:  # its version may have gone
                self._version = 0
                self._refresh()
                raise

        try:
            return read_latest(again)
        except READ_ERRORS as error:
            self._unindexed = UnindexedWords(self._table, self._columns)
            self._version = 0
            raise WorldError(f"{self._address} cannot be searched: {first_line(error)}") from None

    def _lance(self, query: WordQuery) -> Any:
        kinds = _fts().Occur
        parts = [(kinds.MUST, self._any(it)) for it in query.must]
        parts += [(kinds.SHOULD, self._any(it)) for it in query.should]
        parts += [(kinds.MUST_NOT, self._any(it)) for it in query.never]
        return _fts().BooleanQuery(parts)

    def _any(self, it: WordsWanted) -> Any:
        """Words in any of the columns."""
        fts = _fts()
        parts = [
            fts.PhraseQuery(it.text, column) if it.is_phrase else fts.MatchQuery(it.text, column, fuzziness=it.slips)
            for column in self._columns
        ]
        return fts.BooleanQuery([(fts.Occur.SHOULD, part) for part in parts])


def _fts() -> Any:
    """The queries of LanceDB, imported when they are needed: that takes a second."""
    return import_module("lancedb.query")
