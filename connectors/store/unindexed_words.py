"""In-memory full-text index of the posts that are not in the table's full-text indexes yet.

LanceDB scans such rows for each word of a query, in as many fragments as there were writes: with 2,600 of 100,000 posts
unindexed, that took 100 of 120 ms.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from connectors.store.conditions import in_batches, sql_list
from connectors.store.store_folder import in_memory_async
from connectors.store.table_maintenance import word_index

_ID: Final = "global_id"
_ROW_ID: Final = "_rowid"
_NAME: Final = "unindexed"
_MOST_UNINDEXED: Final = 200
"""Maximum of rows in memory outside its own index: sixteen writes of 50 unindexed rows took 20 of 24 ms of a query."""
_SPARE: Final = 1024
_AT_ONCE: Final = 4096


class UnindexedWords:
    """An in-memory table of the posts in no full-text index yet, and perhaps some others. Not thread-safe.

    Args:
        columns: Columns to search.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = tuple(columns)
        self.table: Any = None
        """The in-memory LanceDB table; None if the table's own indexes cover all rows."""
        self._from: int | None = None
        """Lowest row id of the unindexed rows."""
        self._known: dict[int, str] = {}
        """Ids of the posts in memory, by row id."""
        self._unindexed = 0

    async def refresh(self, posts: Any) -> None:
        """Add new unindexed rows and drop those that were indexed or deleted; raises LanceDB's errors.

        Args:
            posts: Latest version of the table, opened with LanceDB's asynchronous API.
        """
        own = [it.name for it in await posts.list_indices() if set(it.columns) & set(self._columns)]
        waiting = max([int((await posts.index_stats(name)).num_unindexed_rows) for name in own], default=0)
        if not waiting:
            self.table, self._from, self._known = None, None, {}
            return
        found = await _row_ids(posts, self._from) if self._from is not None else None
        if found is None or len(found) > 2 * waiting + _SPARE:  # a compaction moved all rows
            self.table, self._known = None, {}
            self._from = await _first_unindexed(posts, waiting)
            found = await _row_ids(posts, self._from)
        await self._drop([row_id for row_id in self._known if row_id not in found])
        await self._add(posts, sorted(found - self._known.keys()))

    async def _drop(self, row_ids: list[int]) -> None:
        gone = [self._known.pop(row_id) for row_id in row_ids]
        for some in in_batches(gone, _AT_ONCE):
            await self.table.delete(f"{_ID} IN ({sql_list(some)})")

    async def _add(self, posts: Any, row_ids: list[int]) -> None:
        for some in in_batches(row_ids, _AT_ONCE):
            rows = await posts.take_row_ids(some).with_row_id().select([_ID, *self._columns]).to_arrow()
            self._known.update(zip(rows.column(_ROW_ID).to_pylist(), rows.column(_ID).to_pylist(), strict=True))
            rows = rows.select([_ID, *self._columns])
            if self.table is None:
                self.table = await self._create_table(rows)
                self._unindexed = 0
            else:
                await self.table.add(rows)
                self._unindexed += len(rows)
        if self._unindexed > _MOST_UNINDEXED:
            await self.table.optimize()
            self._unindexed = 0

    async def _create_table(self, rows: pa.Table) -> Any:
        table = await (await in_memory_async()).create_table(_NAME, rows)
        for column in self._columns:
            await table.create_index(column, config=word_index())
        return table


async def _first_unindexed(posts: Any, waiting: int) -> int:
    """Return the lowest row id of the unindexed rows: row ids only grow, and the newest rows are unindexed."""
    row_ids = np.sort((await _all(posts, None)).column(_ROW_ID).to_numpy())
    return int(row_ids[max(0, len(row_ids) - waiting)]) if len(row_ids) else 0


async def _row_ids(posts: Any, first: int) -> set[int]:
    return set((await _all(posts, f"{_ROW_ID} >= {first}")).column(_ROW_ID).to_pylist())


async def _all(posts: Any, where: str | None) -> pa.Table:
    query = posts.query().with_row_id().select([_ID, _ROW_ID])
    found: pa.Table = await (query.where(where) if where else query).to_arrow()
    return found
