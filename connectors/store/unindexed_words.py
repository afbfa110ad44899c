"""The words of posts that came since the full-text indexes were brought up to date, in memory with indexes too.

LanceDB looks through such rows anew for each word of a query, in as many files as there were writes: among 2,600 of
100,000 posts that took 100 of 120 ms.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa

from connectors.store.conditions import listed, pieces
from connectors.store.store_folder import in_memory_async
from connectors.store.table_maintenance import word_index

_ID: Final = "global_id"
_PLACE: Final = "_rowid"
_NAME: Final = "unindexed"
_LOOSE: Final = 200
"""Rows in memory that are not in an index: more get into one. Sixteen writes of 50 rows took 20 of 24 ms of a query."""
_SPARE: Final = 1024
_AT_ONCE: Final = 4096


class UnindexedWords:
    """Rows of posts that are in no full-text index yet; perhaps some that are. For one thread at a time.

    Args:
        columns: That are searched.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = tuple(columns)
        self.table: Any = None
        """Their words; None where all are in an index."""
        self._from: int | None = None
        """The place from which on they lie."""
        self._known: dict[int, str] = {}
        """Their ids, by place."""
        self._loose = 0

    async def refresh(self, posts: Any) -> None:
        """Take in what came and went; raises what LanceDB raises.

        Args:
            posts: The table as it is now, as LanceDB's asynchronous interface has it.
        """
        own = [it.name for it in await posts.list_indices() if set(it.columns) & set(self._columns)]
        waiting = max([int((await posts.index_stats(name)).num_unindexed_rows) for name in own], default=0)
        if not waiting:
            self.table, self._from, self._known = None, None, {}
            return
        found = await _places(posts, self._from) if self._from is not None else None
        if found is None or len(found) > 2 * waiting + _SPARE:  # all rows have moved
            self.table, self._known = None, {}
            self._from = await _begin(posts, waiting)
            found = await _places(posts, self._from)
        await self._drop([place for place in self._known if place not in found])
        await self._add(posts, sorted(found - self._known.keys()))

    async def _drop(self, places: list[int]) -> None:
        gone = [self._known.pop(place) for place in places]
        for some in pieces(gone, _AT_ONCE):
            await self.table.delete(f"{_ID} IN ({listed(some)})")

    async def _add(self, posts: Any, places: list[int]) -> None:
        for some in pieces(places, _AT_ONCE):
            rows = await posts.take_row_ids(some).with_row_id().select([_ID, *self._columns]).to_arrow()
            self._known.update(zip(rows.column(_PLACE).to_pylist(), rows.column(_ID).to_pylist(), strict=True))
            rows = rows.select([_ID, *self._columns])
            if self.table is None:
                self.table = await self._made(rows)
                self._loose = 0
            else:
                await self.table.add(rows)
                self._loose += len(rows)
        if self._loose > _LOOSE:
            await self.table.optimize()
            self._loose = 0

    async def _made(self, rows: pa.Table) -> Any:
        table = await (await in_memory_async()).create_table(_NAME, rows)
        for column in self._columns:
            await table.create_index(column, config=word_index())
        return table


async def _begin(posts: Any, waiting: int) -> int:
    """The place from which on those lie that wait: rows are given ever higher places, and the newest wait."""
    places = np.sort((await _all(posts, None)).column(_PLACE).to_numpy())
    return int(places[max(0, len(places) - waiting)]) if len(places) else 0


async def _places(posts: Any, first: int) -> set[int]:
    return set((await _all(posts, f"{_PLACE} >= {first}")).column(_PLACE).to_pylist())


async def _all(posts: Any, where: str | None) -> pa.Table:
    query = posts.query().with_row_id().select([_ID, _PLACE])
    found: pa.Table = await (query.where(where) if where else query).to_arrow()
    return found
