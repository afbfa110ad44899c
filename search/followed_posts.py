"""The posts of a store in columns, that follow its table."""

from pathlib import Path
from typing import Final

import pyarrow.compute as pc

from connectors.sinks.record_table import POSTS
from connectors.store.store_folder import opened
from search.corpus_store import identity
from search.picture_bits import PictureBits
from search.post_columns import LATER, READ, STAMPS, UNSETTLED, PostColumns
from search.table_follower import TableFollower

_AT_ONCE: Final = 20_000
"""Rows of a store that are few enough to be read whole before anything is shown."""


class FollowedPosts:
    """The table of posts of a folder, as of the last step, whether or not it is there; for one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self.columns = PostColumns()
        self.lacks_some = False
        """Whether words and looks of posts are still to be read."""
        self._folder = folder
        self._follower: TableFollower | None = None
        self._identity: object = None

    @property
    def is_another(self) -> bool:
        """Whether its table is not the one that was followed."""
        return self._identity is not None and identity(self._folder, POSTS) != self._identity

    def step(self) -> None:
        """Take in what has changed, where there is such a table; raises what LanceDB raises."""
        if not (self._folder / f"{POSTS}.lance").is_dir():
            return
        # A table that was dropped and made anew would not be seen by the handle of the old one.
        if self._follower is None or self.columns.is_sparse() or self.is_another:
            self._identity = identity(self._folder, POSTS)
            self._follower = self._begun()
        self._follower.step(self.columns)

    def settle(self) -> None:
        """Take in where posts are now of which a split changed no more than that; raises what LanceDB raises.

        LanceDB writes such a column in place, so that a step does not see it.
        """
        if self._follower is None or "current_cluster" not in self._follower.table.schema.names:
            return
        query = self._follower.table.search().with_row_id(True).select(["current_cluster", "_rowid"])
        found = query.to_arrow()
        current = pc.fill_null(found.column("current_cluster"), UNSETTLED)
        self.columns.settle(found.column("_rowid").to_numpy(), current.to_numpy())

    def read_later(self) -> None:
        """Read words and looks of all posts where that was put off; raises what LanceDB raises."""
        if self._follower is None or not (self.lacks_some or self.columns.looks.is_guess):
            return
        if self.columns.looks.is_guess:
            self.columns.looks = PictureBits()
        table = self._follower.table
        there = [it for it in LATER if it in table.schema.names]
        for batch in table.search().select(["global_id", *there]).to_batches():
            self.columns.put_later(batch)
        self.lacks_some = False

    def _begun(self) -> TableFollower:
        table = opened(self._folder).open_table(POSTS)
        self.columns = PostColumns()
        self.lacks_some = table.count_rows() > _AT_ONCE
        every = (*READ, *LATER)
        return TableFollower(table, "global_id", STAMPS, every, READ if self.lacks_some else every)
