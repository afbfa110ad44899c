"""Full-text search over a LanceDB table: its full-text indexes, and an in-memory index of rows not in them yet.

All queries of a search run concurrently through LanceDB's asynchronous API. The synchronous one hands every call to
another thread, several times per query: on a page with 20 readers these hand-overs took longer than the search.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any, Final, TypeVar

from connectors.store.interface import SearchTerm, WordQuery, WordReader
from connectors.store.store_folder import READ_ERRORS, read_latest
from connectors.store.unindexed_words import UnindexedWords
from core.errors import WorldError, first_line

T = TypeVar("T")

_SCORE: Final = "_score"


class LanceWords(WordReader):
    """Full-text search over some columns of a table.

    Args:
        address: Address of the store, for messages.
        key: Primary-key column.
        open_table: Opens the table with LanceDB's asynchronous API.
        columns: Columns to search.
    """

    def __init__(
        self, address: str, key: str, open_table: Callable[[], Awaitable[Any]], columns: Sequence[str]
    ) -> None:
        self._address = address
        self._key = key
        self._open_table = open_table
        self._columns = tuple(columns)
        self._table: Any = None
        self._unindexed = UnindexedWords(columns)
        self._has_indexes = False
        self._version = 0

    def refresh(self) -> bool:
        """Update the in-memory index of unindexed rows if the table has changed; return whether indexes exist."""
        self._reading(self._refresh)
        return self._has_indexes

    def find(self, queries: Sequence[WordQuery], most: int) -> list[list[tuple[str, float]]]:
        """Return the best rows of both kinds of indexes; a row found in both counts once, with its best score."""
        wanted = [self._lance(it) for it in queries]
        return self._reading(lambda: self._find(wanted, most))

    async def _find(self, wanted: Sequence[Any], most: int) -> list[list[tuple[str, float]]]:
        new, main = self._unindexed.table, await self._opened()
        found = await asyncio.gather(
            *(self._hits(main, it, most, indexed=new is not None) for it in wanted),
            *(self._hits(new, it, most) for it in wanted if new is not None),
        )
        count = len(wanted)
        best = [{**first} for first in found[:count]]
        for at, more in enumerate(found[count:]):
            for key, score in more.items():
                best[at][key] = max(score, best[at].get(key, score))
        return [sorted(it.items(), key=lambda hit: (-hit[1], hit[0]))[:most] for it in best]

    async def _hits(self, table: Any, wanted: Any, most: int, *, indexed: bool = False) -> dict[str, float]:
        """Return the scores of the best rows, by key; `indexed` skips the rows outside the indexes."""
        query = await table.search(wanted, query_type="fts")
        query = query.fast_search() if indexed else query
        found = await query.limit(most).select([self._key, _SCORE]).to_arrow()
        return dict(zip(found[self._key].to_pylist(), found[_SCORE].to_pylist(), strict=True))

    async def _opened(self) -> Any:
        if self._table is None:
            self._table = await self._open_table()
        return self._table

    async def _refresh(self) -> None:
        table = await self._opened()
        await table.checkout_latest()
        version = await table.version()
        if version != self._version:
            indexed = {column for it in await table.list_indices() for column in it.columns}
            self._has_indexes = indexed.issuperset(self._columns)
            if self._has_indexes:
                await self._unindexed.refresh(table)
            self._version = version

    def _reading(self, read: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async def again() -> T:
            try:
                return await read()
            except READ_ERRORS:  # a compaction may have dropped the version that was read
                self._version = 0
                await self._refresh()
                raise

        try:
            return read_latest(lambda: _run(again()))
        except READ_ERRORS as error:
            self._unindexed = UnindexedWords(self._columns)
            self._version = 0
            raise WorldError(f"{self._address} cannot be searched: {first_line(error)}") from None

    def _lance(self, query: WordQuery) -> Any:
        kinds = _fts().Occur
        parts = [(kinds.MUST, self._any(it)) for it in query.must]
        parts += [(kinds.SHOULD, self._any(it)) for it in query.should]
        parts += [(kinds.MUST_NOT, self._any(it)) for it in query.never]
        return _fts().BooleanQuery(parts)

    def _any(self, it: SearchTerm) -> Any:
        """Return a query that matches a term in any of the columns."""
        fts = _fts()
        parts = [
            fts.PhraseQuery(it.text, column) if it.is_phrase else fts.MatchQuery(it.text, column, fuzziness=it.slips)
            for column in self._columns
        ]
        return fts.BooleanQuery([(fts.Occur.SHOULD, part) for part in parts])


def _run(asked: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, even if the calling thread already runs an event loop, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(asked)
    with ThreadPoolExecutor(1, "words") as pool:
        return pool.submit(asyncio.run, asked).result()


def _fts() -> Any:
    """Return the module of LanceDB's queries, imported lazily because that takes a second."""
    return import_module("lancedb.query")
