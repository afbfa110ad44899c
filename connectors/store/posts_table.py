"""Writer of the table of posts: one row per `global_id`, each with its current cluster."""

import math
from collections import defaultdict
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.sinks.record_table import CURRENT_COLUMN, IMAGE_COLUMN, INGESTION_COLUMN, POSTS, SEARCHED, posts_table
from connectors.sinks.sink import Mark, Row
from connectors.store.arrow_schema import arrow_schema, is_custom
from connectors.store.cluster_ids import spans, stored_merges
from connectors.store.conditions import in_batches, sql_list
from connectors.store.custom_values import with_custom_values
from connectors.store.lance_tables import LanceTables
from connectors.store.removed_posts import ORIGINAL, RemovedPosts
from connectors.store.stored_table import StoredTable
from connectors.store.thumbnails import Thumbnails
from core.columns import Table
from core.merges import Merges
from core.records import ClusterEvent, Removal, Thumbnail
from models.plain_text import plain_text

TABLE: Final = POSTS
_KEY: Final = "global_id"
_GIVEN: Final = "cluster"
_CURRENT: Final = CURRENT_COLUMN.name
_IMAGE: Final = IMAGE_COLUMN.column.name
_INGESTED: Final = INGESTION_COLUMN.column.name


def posts_schema(image_dimension: int, text_dimension: int) -> pa.Schema:
    """Return the columns of the table; both embeddings are float32 vectors of these dimensions."""
    return arrow_schema(posts_table(image_dimension, text_dimension))


class PostRows(StoredTable):
    """The table of posts, which derives `current_cluster` of each row from `cluster` and later merges and splits.

    The merges and splits of the run's own clusters are part of its snapshots. So a row that was assigned before a merge
    but arrives after it gets the merged cluster. After a crash, merges that were not snapshotted are undone: they may
    not happen again if several processes interleave posts in another order.
    """

    def __init__(
        self, store: Path | LanceTables, table: Table, mark: Mark = None, memory_days: float = math.inf
    ) -> None:
        """Open or create the table.

        Args:
            store: The store's tables, or its folder.
            table: Declaration of the table.
            mark: Snapshot from `mark` to resume from; None starts from scratch.
            memory_days: Days for which deletes are remembered.

        Raises:
            WorldError: as `StoredTable` does.
        """
        tables = LanceTables.at(store)
        super().__init__(tables, table)
        self._custom = {field.name: field.type for field in self._table.schema if is_custom(field)}
        self._fill(tables)
        self._table.index_words(*SEARCHED)
        self._thumbnails = Thumbnails(tables, mark.get("thumbnails") if mark else None)
        self._removed = RemovedPosts(
            tables, self._table, self._thumbnails, mark.get("taken_back") if mark else None, memory_days
        )
        if mark is None:
            self._merges = Merges()
            return
        # Marks of version 1 lack merges: those recorded in the store are the best approximation.
        self._merges = stored_merges(tables) if mark["version"] == 1 else Merges.of(mark["clusters"])
        own = (
            f"({_GIVEN} > {above}" + (")" if end is None else f" AND {_GIVEN} <= {end})")
            for above, end in spans(tables.state)
        )
        self._correct_clusters(f"{_GIVEN} >= 0 AND ({' OR '.join(own)})", self._merges)

    def upsert(self, rows: list[Row]) -> None:
        """Upsert rows with their current cluster; of several rows with one key the last one wins.

        Rows of deleted posts are dropped, and rows of hidden accounts go to the table of hidden posts.
        """
        current = self._merges.current
        kept = [row for row in rows if not self._removed.is_gone(row)]
        if len(kept) < len(rows):
            self._removed.refuse([row for row in rows if self._removed.is_gone(row)])
        for row in kept:
            if row[ORIGINAL] and self._removed.is_gone_original(row[ORIGINAL]):
                row[ORIGINAL] = None
        made = [{**with_custom_values(row, self._custom), _CURRENT: current(row[_KEY], row[_GIVEN])} for row in kept]
        hidden = [row for row in made if self._removed.is_hidden(row)]
        shown = [row for row in made if not self._removed.is_hidden(row)] if hidden else made
        edited = {row[_KEY] for row in made if row["revision"] > 1}
        replaced = self._removed.images_of(sorted(edited))
        # Both revisions may arrive in one batch, so that the first is never written.
        replaced |= {row[_IMAGE] for row in made if row[_KEY] in edited and row[_IMAGE] is not None}
        self._removed.write_hidden([self._as_stored(row) for row in hidden])
        if shown:
            super().upsert(shown)
        self._thumbnails.arrived(made)
        self._removed.drop_unused(replaced)

    def write_thumbnails(self, thumbnails: list[Thumbnail]) -> None:
        """Write thumbnails, except those of deleted posts; raises `WorldError`."""
        self._thumbnails.keep(it for it in thumbnails if not self._removed.is_gone_post(it.post))

    def add_images(self, thumbnails: list[Thumbnail]) -> int:
        """Write thumbnails of existing posts and set the references in their rows.

        These updates keep row ids, so that `TableReader.since` does not see them.

        Returns:
            How many of the thumbnails belong to existing posts.

        Raises:
            WorldError: if the store cannot be read or written.
        """
        ids = sorted({it.post.global_id for it in thumbnails})
        where = (f"{_KEY} IN ({sql_list(some)})" for some in in_batches(ids))
        there = {key for it in where for batch in self._table.batches((_KEY,), it) for key in batch[0].to_pylist()}
        found = [it for it in thumbnails if it.post.global_id in there]
        self.write_thumbnails(found)
        rows = [{_KEY: it.post.global_id, _IMAGE: it.post.picture_sha256} for it in found]
        for some in in_batches(rows):
            self._table.change(some, (_IMAGE,))
        return len(found)

    def remove(self, removals: list[Removal]) -> None:
        """Delete, hide or restore posts as removals say; raises `WorldError`."""
        for some in in_batches(self._removed.take(removals)):
            self._correct_clusters(f"{_KEY} IN ({sql_list(some)})", self._merges)

    def apply_events(self, events: list[ClusterEvent]) -> None:
        """Update `current_cluster` for merges and splits, in their order; raises `WorldError`."""
        for is_split, group in groupby(events, lambda event: event.kind == "split"):
            if is_split:
                self._split(list(group))
            else:
                self._merge(list(group))

    def compact(self, *, erase: bool = False) -> None:
        """Compact the tables of posts, hidden posts and thumbnails; raises `WorldError`."""
        super().compact(erase=erase)
        self._removed.compact(erase=erase)
        self._thumbnails.compact(erase=erase)

    def mark(self) -> Mark:
        """Return a snapshot of merges, splits and removals."""
        return {
            "version": 2,
            "clusters": self._merges.state(),
            "taken_back": self._removed.state(),
            "thumbnails": self._thumbnails.state(),
        }

    def _merge(self, events: list[ClusterEvent]) -> None:
        before = {self._merges.resolve(event.cluster) for event in events}
        self._merges.add(events)
        gone: dict[int, list[int]] = defaultdict(list)
        for cluster in sorted(before):
            if (into := self._merges.resolve(cluster)) != cluster:
                gone[into].append(cluster)
        for into, clusters in gone.items():
            for some in in_batches(clusters):
                self._table.update_where(f"{_CURRENT} IN ({', '.join(map(str, some))})", {_CURRENT: into})

    def _split(self, events: list[ClusterEvent]) -> None:
        self._merges.add(events)
        for some in in_batches([post for event in events for post in event.posts]):
            self._correct_clusters(f"{_KEY} IN ({sql_list(some)})", self._merges)

    def _fill(self, tables: LanceTables) -> None:
        """Fill columns that rows of an older store lack: `current_cluster` and `text_clean`.

        Idempotent: after a crash midway, the next call does the rest.
        """
        unfilled = f"{_CURRENT} IS NULL"
        if self._table.has(unfilled):
            merges = stored_merges(tables)
            self._correct_clusters(unfilled, merges, only_merged=True)
            self._table.update_where(unfilled, {}, {_CURRENT: _GIVEN})
        unread = "text_clean IS NULL AND text_as_read IS NOT NULL"
        if self._table.has(unread):
            read = [row for batch in self._table.batches((_KEY, "text_as_read"), unread) for row in batch.to_pylist()]
            for some in in_batches(read):
                cleaned = [{_KEY: it[_KEY], "text_clean": plain_text(it["text_as_read"].splitlines())} for it in some]
                self._table.change(cleaned, ("text_clean",))

    def _correct_clusters(self, where: str, merges: Merges, *, only_merged: bool = False) -> None:
        """Correct `current_cluster` of the rows that match an SQL condition and differ from `merges`."""
        moved = pa.array(merges.moved(), pa.string())
        wrong: list[dict[str, Any]] = []
        for batch in self._table.batches((_KEY, _GIVEN, _CURRENT), where):
            given, places = np.unique(batch.column(_GIVEN).to_numpy(), return_inverse=True)
            resolved = np.array([merges.resolve(int(cluster)) for cluster in given], np.int64)[places]
            there = batch.column(_GIVEN if only_merged else _CURRENT).to_numpy()
            doubtful = (resolved != there) | pc.is_in(batch.column(_KEY), moved).to_numpy(zero_copy_only=False)
            for row in batch.filter(pa.array(doubtful)).to_pylist():
                current = merges.current(row[_KEY], row[_GIVEN])
                if current != row[_CURRENT]:
                    wrong.append({_KEY: row[_KEY], _CURRENT: current})
        for some in in_batches(wrong):
            self._table.change(some, (_CURRENT,))


class PostStore(PostRows):
    """The table of posts in a folder, written by idempotent upserts."""

    def __init__(self, folder: Path, image_dimension: int, text_dimension: int) -> None:
        """Open or create the table; raises `WorldError` if it cannot, or if its vectors have other dimensions."""
        super().__init__(folder, posts_table(image_dimension, text_dimension))
