"""In-memory columns of a store's posts that follow its table."""

from collections.abc import Hashable
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from connectors.sinks.record_table import POSTS
from connectors.store.interface import ROW_ID, Tables
from search.post_columns import LATER, READ, STAMPS, UNSETTLED, PostColumns
from search.table_follower import TableFollower

_AT_ONCE: Final = 20_000
"""Up to this many rows are read with all columns at once; for more, the large columns are read later."""


class FollowedPosts:
    """The posts of a store as of the last `step`; the table need not exist yet. For one thread at a time."""

    def __init__(self, store: Tables) -> None:
        self.columns = PostColumns()
        self.lacks_some = False
        """Whether the words and embeddings of posts are still to be read (`read_later`)."""
        self._store = store
        self._follower: TableFollower | None = None
        self._identity: Hashable = None

    @property
    def is_another(self) -> bool:
        """Check whether the table was dropped and recreated since it was opened."""
        return self._identity is not None and self._store.identity(POSTS) != self._identity

    def step(self) -> None:
        """Read what has changed, if the table exists; raise `WorldError` if it cannot be read."""
        if not self._store.has(POSTS):
            return
        # The handle of a dropped table would not see the table that was recreated under its name.
        if self._follower is None or self.columns.is_sparse() or self.is_another:
            self._identity = self._store.identity(POSTS)
            self._follower = self._restart()
        self._follower.step(self.columns)

    def settle(self) -> None:
        """Read the current clusters of posts that were moved by a split and not changed otherwise.

        A store may write that column in place, which a step does not see. Raise `WorldError` if it cannot be read.
        """
        if self._follower is None or "current_cluster" not in self._follower.table.schema.names:
            return
        batches = list(self._follower.table.changed_in_place(["current_cluster"]))
        if batches:
            found = pa.Table.from_batches(batches)
            current = pc.fill_null(found.column("current_cluster"), UNSETTLED)
            self.columns.settle(found.column(ROW_ID).to_numpy(), current.to_numpy())

    def read_later(self) -> None:
        """Read the words and embeddings of all posts if that was postponed; raise `WorldError` if they cannot be."""
        if self._follower is None:
            return
        if self.lacks_some:
            for batch in self._follower.table.batches(["global_id", *LATER]):
                self.columns.put_later(batch)
            self.lacks_some = False
        self.columns.looks.relearn()
        self.columns.meaning.relearn()

    def _restart(self) -> TableFollower:
        table = self._store.table(POSTS)
        self.columns = PostColumns()
        self.lacks_some = table.count() > _AT_ONCE
        every = (*READ, *LATER)
        return TableFollower(table, STAMPS, every, READ if self.lacks_some else every)
