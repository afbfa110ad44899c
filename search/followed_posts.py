"""The posts of a store in columns, that follow its table."""

from collections.abc import Hashable
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from connectors.sinks.record_table import POSTS
from connectors.store.interface import PLACE, Tables
from search.post_columns import LATER, READ, STAMPS, UNSETTLED, PostColumns
from search.table_follower import TableFollower

_AT_ONCE: Final = 20_000
"""Rows of a store that are few enough to be read whole before anything is shown."""


class FollowedPosts:
    """The table of posts of a store, as of the last step, whether or not it is there; for one thread at a time."""

    def __init__(self, store: Tables) -> None:
        self.columns = PostColumns()
        self.lacks_some = False
        """Whether words, looks and meaning of posts are still to be read."""
        self._store = store
        self._follower: TableFollower | None = None
        self._identity: Hashable = None

    @property
    def is_another(self) -> bool:
        """Whether its table is not the one that was followed."""
        return self._identity is not None and self._store.identity(POSTS) != self._identity

    def step(self) -> None:
        """Take in what has changed, where there is such a table; raises `WorldError`."""
        if not self._store.has(POSTS):
            return
        # A table that was dropped and made anew would not be seen by the handle of the old one.
        if self._follower is None or self.columns.is_sparse() or self.is_another:
            self._identity = self._store.identity(POSTS)
            self._follower = self._begun()
        self._follower.step(self.columns)

    def settle(self) -> None:
        """Take in where posts are now of which a split changed no more than that; raises `WorldError`.

        A store may write such a column in place, so that a step does not see it.
        """
        if self._follower is None or "current_cluster" not in self._follower.table.schema.names:
            return
        batches = list(self._follower.table.changed_in_place(["current_cluster"]))
        if batches:
            found = pa.Table.from_batches(batches)
            current = pc.fill_null(found.column("current_cluster"), UNSETTLED)
            self.columns.settle(found.column(PLACE).to_numpy(), current.to_numpy())

    def read_later(self) -> None:
        """Read words, looks and meaning of all posts where that was put off; raises `WorldError`."""
        if self._follower is None:
            return
        if self.lacks_some:
            for batch in self._follower.table.batches(["global_id", *LATER]):
                self.columns.put_later(batch)
            self.lacks_some = False
        self.columns.looks.relearn()
        self.columns.meaning.relearn()

    def _begun(self) -> TableFollower:
        table = self._store.table(POSTS)
        self.columns = PostColumns()
        self.lacks_some = table.count() > _AT_ONCE
        every = (*READ, *LATER)
        return TableFollower(table, STAMPS, every, READ if self.lacks_some else every)
