"""Thumbnails of a store, deduplicated by SHA-256 of the image file: posts with the same file share one."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from connectors.sinks.record_table import HIDDEN, POSTS, THUMBNAILS
from connectors.store.arrow_schema import arrow_schema
from connectors.store.conditions import listed, pieces
from connectors.store.interface import Condition
from connectors.store.keyed_table import KeyedTable
from connectors.store.lance_tables import LanceTables
from core.bounded_dict import BoundedDict
from core.records import Thumbnail

_KEY: Final = THUMBNAILS.key
_REFERRING: Final = (POSTS, HIDDEN)
"""Tables whose rows refer to thumbnails."""
_RECENT: Final = 4096
"""Most recent thumbnails, which are never swept: the rows that refer to them may not have arrived yet."""
_SWEEP_EVERY: Final = 50_000
"""New thumbnails after which unused ones are swept: edits and duplicates leave some behind."""
_MOST: Final = 500
"""Keys per condition."""


class Thumbnails:
    """The table of thumbnails, created with the first one; writes are idempotent upserts."""

    def __init__(self, store: Path | LanceTables) -> None:
        self._tables = LanceTables.at(store)
        self._opened: KeyedTable | None = None
        self._recent: BoundedDict[str, str] = BoundedDict(_RECENT)
        """Keys of recent thumbnails, each with the last post that it arrived with."""
        self._unswept = 0

    def keep(self, thumbnails: Iterable[Thumbnail]) -> None:
        """Write thumbnails, except those written recently; raises `WorldError`."""
        new = {}
        for it in thumbnails:
            if it.post.picture_sha256 in self._recent:
                self._recent[it.post.picture_sha256] = it.post.global_id
            else:
                new[it.post.picture_sha256] = it
        if not new:
            return
        rows = [{_KEY: key, "webp": it.webp, "width": it.width, "height": it.height} for key, it in new.items()]
        self._table().upsert(rows)
        for key, it in new.items():
            self._recent[key] = it.post.global_id
        self._unswept += len(new)
        if self._unswept >= _SWEEP_EVERY:
            self._sweep()

    def drop_unused(
        self, keys: Iterable[str], referring: Sequence[KeyedTable], going: Collection[str] = frozenset()
    ) -> None:
        """Delete those thumbnails that no row refers to; raises `WorldError`.

        A thumbnail is kept if the post that it last arrived with has no row yet.

        Args:
            keys: Keys of the thumbnails to check.
            referring: Tables of posts.
            going: Ids of posts whose rows are about to be deleted, or will never arrive.
        """
        wanted = sorted(set(keys))
        for some in pieces(wanted, _MOST) if wanted and self._is_there() else ():
            used = {
                row[_KEY]
                for table in referring
                for batch in table.batches((_KEY, "global_id"), f"{_KEY} IN ({listed(some)})")
                for row in batch.to_pylist()
                if row["global_id"] not in going
            }
            unused = [key for key in some if key not in used]
            late = {key: post for key in unused if (post := self._recent.get(key, "")) and post not in going}
            if late:
                named = f"global_id IN ({listed(late.values())})"
                batches = (batch for table in referring for batch in table.batches(("global_id",), named))
                there = {it for batch in batches for it in batch.column(0).to_pylist()}
                late = {key: post for key, post in late.items() if post not in there}
            self._drop([key for key in unused if key not in late])

    def compact(self, *, erase: bool = False) -> None:
        """Delete unused thumbnails and compact the table; raises `WorldError`.

        With `erase`, no file holds deleted thumbnails afterwards.
        """
        if self._is_there():
            self._sweep()
            self._table().erase() if erase else self._table().compact()

    def _sweep(self) -> None:
        self._unswept = 0
        for some in pieces([key for key in unused_in(self._tables) if key not in self._recent], _MOST):
            self._drop(some)

    def _drop(self, keys: list[str]) -> None:
        if keys:
            self._table().delete_where(f"{_KEY} IN ({listed(keys)})")
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
        for some in pieces(unused_in(tables), _MOST):
            table.delete(f"{_KEY} IN ({listed(some)})")


def _keys_in(tables: LanceTables, name: str) -> list[pa.Array]:
    if not tables.has(name):
        return []
    table = tables.table(name)
    if _KEY not in table.schema.names:
        return []
    return [batch.column(0) for batch in table.batches([_KEY], [Condition(_KEY, "is not null")])]
