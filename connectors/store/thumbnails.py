"""Thumbnails of a store, deduplicated by SHA-256 of the image file: posts with the same file share one."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from connectors.sinks.record_table import HIDDEN, POSTS, THUMBNAILS
from connectors.sinks.sink import Row
from connectors.store.arrow_schema import arrow_schema
from connectors.store.conditions import in_batches, sql_list
from connectors.store.interface import Condition
from connectors.store.keyed_table import KeyedTable
from connectors.store.lance_tables import LanceTables
from core.bounded_dict import BoundedDict
from core.records import Thumbnail

_KEY: Final = THUMBNAILS.key
_REFERRING: Final = (POSTS, HIDDEN)
"""Tables whose rows refer to thumbnails."""
_RECENT: Final = 4096
"""Recent thumbnails that are not written again, and posts that are remembered until their rows arrive."""
_SWEEP_EVERY: Final = 50_000
"""New thumbnails after which unused ones are swept: edits and duplicates leave some behind."""


class _Awaited(NamedTuple):
    """The thumbnail of a post whose row has not arrived yet."""

    key: str
    is_edit: bool
    """Whether the post was edited: then it may have an earlier row."""


class Thumbnails:
    """The table of thumbnails, created with the first one; writes are idempotent upserts.

    A thumbnail bypasses the join, so it arrives before the row of its post, sometimes in an earlier run. Until then it
    is kept, even if the last row that refers to it goes.

    Args:
        store: The store's tables, or its folder.
        state: Snapshot to resume from, as returned by `state`.
    """

    def __init__(self, store: Path | LanceTables, state: list[tuple[str, str, bool]] | None = None) -> None:
        self._tables = LanceTables.at(store)
        self._opened: KeyedTable | None = None
        self._recent: BoundedDict[str, None] = BoundedDict(_RECENT)
        """Keys of thumbnails that were written recently."""
        self._awaited: BoundedDict[str, _Awaited] = BoundedDict(
            _RECENT, ((post, _Awaited(key, is_edit)) for post, key, is_edit in state or ())
        )
        """By post id, thumbnails whose rows have not arrived yet. Some never do: the join drops repeated posts."""
        self._arrived: BoundedDict[str, str | None] = BoundedDict(_RECENT)
        """By post id, keys in recent rows, since a row may arrive before its thumbnail."""
        self._unswept = 0

    def keep(self, thumbnails: Iterable[Thumbnail]) -> None:
        """Write thumbnails, except those written recently; raises `WorldError`."""
        new = {}
        for it in thumbnails:
            key = it.post.picture_sha256
            self._awaited.pop(it.post.global_id, None)
            if self._arrived.get(it.post.global_id) != key:
                self._awaited[it.post.global_id] = _Awaited(key, it.post.edited is not None)  # as the newest
            if key not in self._recent:
                new[key] = it
        if not new:
            return
        rows = [{_KEY: key, "webp": it.webp, "width": it.width, "height": it.height} for key, it in new.items()]
        self._table().upsert(rows)
        for key in new:
            self._recent[key] = None
        self._unswept += len(new)
        if self._unswept >= _SWEEP_EVERY:
            self._sweep()

    def arrived(self, rows: Iterable[Row]) -> None:
        """Note that rows were written: from now on only they keep their thumbnails."""
        for row in rows:
            post, key = row["global_id"], row[_KEY]
            self._arrived.pop(post, None)
            self._arrived[post] = key  # as the newest
            awaited = self._awaited.get(post)
            if awaited is not None and awaited.key == key:
                del self._awaited[post]

    def drop_unused(
        self, keys: Iterable[str], referring: Sequence[KeyedTable], going: Collection[str] = frozenset()
    ) -> None:
        """Delete those thumbnails that no row refers to; raises `WorldError`.

        A thumbnail is kept while a post with it has no row yet.

        Args:
            keys: Keys of the thumbnails to check.
            referring: Tables of posts.
            going: Ids of posts whose rows are about to be deleted, or will never arrive.
        """
        for post in going:
            self._awaited.pop(post, None)
            self._arrived.pop(post, None)
        wanted = sorted(set(keys))
        for some in in_batches(wanted) if wanted and self._is_there() else ():
            used = {
                row[_KEY]
                for table in referring
                for batch in table.batches((_KEY, "global_id"), f"{_KEY} IN ({sql_list(some)})")
                for row in batch.to_pylist()
                if row["global_id"] not in going
            }
            unused = {key for key in some if key not in used}
            self._drop(sorted(unused - self._on_their_way(unused)))

    def state(self) -> list[tuple[str, str, bool]]:
        """Return a snapshot of built-in types: id, key and whether it is edited, of each post whose row is awaited."""
        return [(post, *it) for post, it in self._awaited.items()]

    def compact(self, *, erase: bool = False) -> None:
        """Delete unused thumbnails and compact the table; raises `WorldError`.

        With `erase`, no file holds deleted thumbnails afterwards.
        """
        if self._is_there():
            self._sweep()
            self._table().erase() if erase else self._table().compact()

    def _sweep(self) -> None:
        self._unswept = 0
        for some in in_batches(unused_in(self._tables)):
            self._drop(sorted(set(some) - self._on_their_way(some)))

    def _on_their_way(self, keys: Collection[str]) -> set[str]:
        """Return those of `keys` with a post whose row, or the next revision of it, has not arrived yet.

        A post that has a row with an image and is not edited is a repeat, which the join drops.
        """
        awaited = {post: it for post, it in self._awaited.items() if it.key in keys}
        known: set[str] = set()
        for name in _REFERRING if awaited else ():
            if self._tables.has(name):
                where = [Condition("global_id", "in", list(awaited)), Condition(_KEY, "is not null")]
                for batch in self._tables.table(name).batches(["global_id"], where):
                    known.update(batch.column(0).to_pylist())
        return {it.key for post, it in awaited.items() if it.is_edit or post not in known}

    def _drop(self, keys: list[str]) -> None:
        if keys:
            self._table().delete_where(f"{_KEY} IN ({sql_list(keys)})")
        for key in keys:
            self._recent.pop(key, None)

    def _is_there(self) -> bool:
        return self._opened is not None or self._tables.has(THUMBNAILS.name)

    def _table(self) -> KeyedTable:
        if self._opened is None:
            self._opened = KeyedTable(self._tables, THUMBNAILS.name, _KEY, arrow_schema(THUMBNAILS))
        return self._opened


def unused_in(store: Path | LanceTables) -> list[str]:
    """Return the keys of the thumbnails of a store that no post refers to; raises `WorldError`."""
    tables = LanceTables.at(store)
    used = pa.chunked_array([column for name in _REFERRING for column in _keys_in(tables, name)], pa.string())
    kept = pa.chunked_array(_keys_in(tables, THUMBNAILS.name), pa.string())
    found: list[str] = kept.filter(pc.invert(pc.is_in(kept, used))).to_pylist()
    return found


def drop_unused_in(tables: LanceTables) -> None:
    """Delete the thumbnails of a store that no post refers to; only safe if no flow writes the store."""
    if tables.has(THUMBNAILS.name):
        table = tables.opened(THUMBNAILS.name)
        for some in in_batches(unused_in(tables)):
            table.delete(f"{_KEY} IN ({sql_list(some)})")


def _keys_in(tables: LanceTables, name: str) -> list[pa.Array]:
    if not tables.has(name):
        return []
    table = tables.table(name)
    if _KEY not in table.schema.names:
        return []
    return [batch.column(0) for batch in table.batches([_KEY], [Condition(_KEY, "is not null")])]
