"""The small images of a store: one for each file that an image was fetched as, however many posts show it."""

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
"""Tables whose rows refer to small images."""
_RECENT: Final = 4096
"""Images that came last: the rows that refer to them may still be on their way."""
_SWEEP_EVERY: Final = 50_000
"""Small images, after which those that no post refers to any more are looked for: edits and repeats leave some."""
_MOST: Final = 500
"""Keys in one condition."""


class Thumbnails:
    """The table of small images, made when the first one comes; what is written twice is there once."""

    def __init__(self, store: Path | LanceTables) -> None:
        self._tables = LanceTables.at(store)
        self._opened: KeyedTable | None = None
        self._recent: BoundedDict[str, str] = BoundedDict(_RECENT)
        """Each with the post that it came with last."""
        self._unswept = 0

    def keep(self, thumbnails: Iterable[Thumbnail]) -> None:
        """Write those that were not written just now; raises `WorldError`."""
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
        """Drop those of `keys` that no row of the tables refers to; raises `WorldError`.

        One stays that came last with a post whose row is still on its way.

        Args:
            keys: Of small images.
            referring: Tables of posts.
            going: Posts whose rows are about to be deleted, or will never come.
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
        """Drop what no post refers to, and put the table together; raises `WorldError`.

        `erase`: so that no file holds what was dropped.
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
    """Keys of the small images of a store that no post refers to; raises `WorldError`."""
    tables = LanceTables.at(store)
    used = pa.chunked_array([column for name in _REFERRING for column in _keys_in(tables, name)], pa.string())
    kept = pa.chunked_array(_keys_in(tables, THUMBNAILS.name), pa.string())
    found: list[str] = kept.filter(pc.invert(pc.is_in(kept, used))).to_pylist()
    return found


def drop_unused_in(tables: LanceTables) -> None:
    """Drop the small images of a store that no post refers to, where no flow writes it."""
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
