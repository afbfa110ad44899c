"""Removal of posts: deleted ones, and ones hidden with their account until the account returns.

Hidden rows are moved to a table of their own, so that readers of posts need not know of them.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from itertools import chain, groupby
from typing import Any, Final

import orjson
import pyarrow as pa

from connectors.sinks.record_table import HIDDEN, IMAGE_COLUMN, LOOKED_UP
from connectors.sinks.sink import Row
from connectors.store.arrow_schema import is_custom
from connectors.store.cluster_ids import note_deleted
from connectors.store.conditions import in_batches, sql_list
from connectors.store.keyed_table import KeyedTable
from connectors.store.lance_tables import LanceTables
from connectors.store.quoting_answers import drop_quoting
from connectors.store.thumbnails import Thumbnails
from core.bounded_dict import BoundedDict
from core.records import Post, Removal, account_of, is_later
from core.removals import REMEMBERED, Removed, ids_of, without_number
from core.telemetry import REMOVED_ROWS
from core.times import time_or_none

_SHOWN: Final = 4096
ORIGINAL: Final = "duplicate_of"
"""Column with the id of the post that a row is a duplicate of."""
_IMAGE: Final = IMAGE_COLUMN.column.name
_ALWAYS: Final = ("global_id", "cluster", _IMAGE)
"""Columns read of every matching row; with a million rows each further column costs some milliseconds per second."""
_MATCHING: Final = {"post_id": ("post_id",), "old": ("post_id",), "url": ("url",), "account": ("author", "source")}
"""For each kind of name in a removal, the columns that decide whether a row matches it."""
_TIMES: Final = ("created_time", "extra")
"""Columns that hold when a post was written or last edited."""


class RemovedPosts:
    """Recent removals, applied to existing rows and to rows that arrive later.

    Args:
        tables: Tables of the store.
        posts: The table of posts.
        thumbnails: Thumbnails of the posts; one is deleted with the last post that refers to it.
        state: Snapshot to resume from, as returned by `state`.
        memory_days: Days for which deletes are remembered.
    """

    def __init__(
        self,
        tables: LanceTables,
        posts: KeyedTable,
        thumbnails: Thumbnails,
        state: dict[str, Any] | None = None,
        memory_days: float = math.inf,
    ) -> None:
        self._store = tables
        self._thumbnails = thumbnails
        self._posts = posts
        self._removed = Removed(state["removed"] if state else None, days=memory_days)
        self._hidden: BoundedDict[str, datetime | None] = BoundedDict(REMEMBERED, state["hidden"] if state else ())
        """Hidden accounts, and since when."""
        self._shown: BoundedDict[str, datetime | None] = BoundedDict(_SHOWN, state["shown"] if state else ())
        """Accounts shown again, and since when: an older removal may arrive later, from another process."""
        self._hidden_rows: KeyedTable | None = None
        self._has_old = posts.has("post_id IS NULL")
        """Whether the table has rows of an earlier version of memewax, which lack a `post_id`."""

    def is_gone(self, row: Row) -> bool:
        """Check whether a new row belongs to a post that was deleted before (a tombstone)."""
        account = account_of(row["author"], row["source"])
        return self._removed.has(
            row["global_id"], row["post_id"], account, lambda: changed(row, row["extra"]), row["url"]
        )

    def is_gone_original(self, global_id: str) -> bool:
        """Check whether the post that a row duplicates was deleted by its id."""
        return self._removed.has(global_id, without_number(global_id), "", lambda: None)

    def refuse(self, rows: Sequence[Row]) -> None:
        """Drop unused thumbnails of rows that arrived after their delete; raises `WorldError`."""
        images = [key for row in rows if (key := row[_IMAGE]) is not None]
        self._thumbnails.drop_unused(images, self._tables(), {row["global_id"] for row in rows})

    def images_of(self, ids: Sequence[str]) -> set[str]:
        """Return the keys of thumbnails that existing rows refer to, including hidden rows; raises `WorldError`."""
        found: set[str] = set()
        for some in in_batches(list(ids)):
            for table in self._tables():
                for batch in table.batches((_IMAGE,), f"global_id IN ({sql_list(some)})"):
                    found.update(batch.column(0).drop_null().to_pylist())
        return found

    def drop_unused(self, keys: Collection[str]) -> None:
        """Delete those thumbnails that no row refers to, not even a hidden one; raises `WorldError`."""
        if keys:
            self._thumbnails.drop_unused(keys, self._tables())

    def is_gone_post(self, post: Post) -> bool:
        """Check whether a post whose row has not arrived yet was deleted before."""
        return self._removed.has(post.global_id, post.whole_id, post.account, lambda: post.changed, post.url)

    def is_hidden(self, row: Row) -> bool:
        """Check whether a new row belongs to a hidden account."""
        return account_of(row["author"], row["source"]) in self._hidden

    def write_hidden(self, rows: list[Row]) -> None:
        """Write rows, in their stored form, to the table of hidden posts; raises `WorldError`."""
        if rows:
            self._hidden_table().upsert(rows)

    def take(self, removals: Sequence[Removal]) -> list[str]:
        """Apply removals in their order; idempotent.

        Returns:
            Ids of the rows that are visible again.

        Raises:
            WorldError: if the store cannot be read or written.
        """
        back: list[str] = []
        for hidden, group in groupby(removals, lambda it: it.hidden):
            those = list(group)
            if hidden is None:
                self._delete(those)
            else:
                back += self._move(self._visibility_changes(those), hidden=hidden)
        return back

    def matching_ids(self, removals: Sequence[Removal]) -> list[str]:
        """Return the ids of the rows that removals refer to, including hidden ones; raises `WorldError`."""
        parts = (_Selection(list(some), self._has_old) for some in in_batches(list(removals)))
        return [row["global_id"] for it in parts for table in self._tables() for row in it.rows_of(table)]

    def compact(self, *, erase: bool = False) -> None:
        """Compact the table of hidden rows; with `erase`, no file holds deleted rows afterwards."""
        if self._has_hidden_table():
            table = self._hidden_table()
            table.erase() if erase else table.compact()

    def state(self) -> dict[str, Any]:
        """Return a snapshot of built-in types."""
        return {
            "removed": self._removed.state(),
            "hidden": list(self._hidden.items()),
            "shown": list(self._shown.items()),
        }

    def _delete(self, removals: list[Removal]) -> None:
        for it in removals:
            self._removed.note(it)
        for batch in in_batches(removals):
            picked = _Selection(batch, self._has_old)
            tables = self._tables()
            found = [picked.rows_of(table) for table in tables]
            rows = list(chain.from_iterable(found))
            note_deleted(self._store.state, max((row["cluster"] for row in rows), default=-1))
            # Delete what refers to the rows before the rows: after a crash in between, the rows are found again.
            gone = [row["global_id"] for row in rows]
            without = drop_quoting(self._store, gone)
            for some in in_batches(gone):
                for table in tables:
                    table.update_where(f"{ORIGINAL} IN ({sql_list(some)})", {ORIGINAL: None})
            images = filter(None, (row[_IMAGE] for row in rows))
            self._thumbnails.drop_unused(images, tables, {row["global_id"] for row in rows})
            for table, those in zip(tables, found, strict=True):
                for some in in_batches([row["global_id"] for row in those]):
                    table.delete_where(f"global_id IN ({sql_list(some)})")
            drop_quoting(self._store, gone, without)  # those written since, whose writer still found the rows
            REMOVED_ROWS.labels("deleted").inc(len(rows))

    def _visibility_changes(self, removals: Iterable[Removal]) -> list[tuple[str, str]]:
        """Return accounts, as (author, source), whose visibility changes, ignoring removals older than the last one."""
        found = {}
        for it in removals:
            now, before = (self._hidden, self._shown) if it.hidden else (self._shown, self._hidden)
            if is_later(before.get(it.account), it.time):
                continue
            before.pop(it.account, None)
            now.pop(it.account, None)
            now[it.account] = it.time
            found[it.account] = it.author, it.source
        return list(found.values())

    def _move(self, accounts: list[tuple[str, str]], *, hidden: bool) -> list[str]:
        """Move the rows of accounts to the hidden table or back; return the ids of those that came back."""
        if not accounts or not (hidden or self._has_hidden_table()):
            return []
        here, there = self._posts, self._hidden_table()
        source, to = (here, there) if hidden else (there, here)
        moved: list[str] = []
        wanted = set(accounts)
        for some in in_batches(accounts):
            where = f"author IN ({sql_list(author for author, _ in some)})"
            found = [
                row["global_id"]
                for batch in source.batches(("global_id", "author", "source"), where)
                for row in batch.to_pylist()
                if (row["author"], row["source"]) in wanted
            ]
            without = drop_quoting(self._store, found) if hidden else 0
            for ids in in_batches(found):
                picked = f"global_id IN ({sql_list(ids)})"
                rows = [row for it in source.batches(tuple(source.schema.names), picked) for row in it.to_pylist()]
                to.upsert(rows)  # copy before deleting, so that a crash between the two loses nothing
                source.delete_where(picked)
                moved += ids
            if hidden:
                drop_quoting(self._store, found, without)
        REMOVED_ROWS.labels("hidden" if hidden else "shown").inc(len(moved))
        return [] if hidden else moved

    def _tables(self) -> list[KeyedTable]:
        return [self._posts, *([self._hidden_table()] if self._has_hidden_table() else [])]

    def _has_hidden_table(self) -> bool:
        return self._hidden_rows is not None or self._store.has(HIDDEN)

    def _hidden_table(self) -> KeyedTable:
        """Return the table of hidden rows, created on first use."""
        if self._hidden_rows is None:
            schema = pa.schema([it if is_custom(it) else it.remove_metadata() for it in self._posts.schema])
            self._hidden_rows = KeyedTable(self._store, HIDDEN, "global_id", schema, "revision", LOOKED_UP)
        return self._hidden_rows


def changed(row: Row, extra: Any) -> datetime | None:
    """Return when the post of a row was last edited, or else written; None if neither is known."""
    fields = orjson.loads(extra or b"{}") if isinstance(extra, str) else extra
    return time_or_none(fields.get("edited")) or time_or_none(row["created_time"])


class _Selection:
    """A selection of the rows that removals refer to, by id, URL or account."""

    def __init__(self, removals: list[Removal], has_old: bool) -> None:
        self._named: dict[tuple[str, str], Removal] = {}
        for it in removals:
            pairs = (("global_id", it.global_id), ("post_id", it.post_id), ("url", it.url), ("account", it.account))
            self._named |= {pair: it for pair in pairs if pair[1]}
            if has_old and it.post_id:
                self._named |= {("old", name): it for name in ids_of(it)}

    @property
    def where(self) -> str:
        """Return an SQL condition that matches these rows and possibly a few more, which `has` rejects."""
        names: dict[str, list[str]] = {}
        for kind, name in self._named:
            names.setdefault(kind, []).append(name)
        accounts = [self._named["account", it].author for it in names.pop("account", ())]
        old = names.pop("old", ())
        parts = [f"{column} IN ({sql_list(those)})" for column, those in names.items()]
        parts += [f"author IN ({sql_list(accounts)})"] if accounts else []
        parts += [f"(post_id IS NULL AND global_id IN ({sql_list(old)}))"] if old else []
        return " OR ".join(parts)

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that `has` and a delete need."""
        matching = [name for kind, _ in self._named for name in _MATCHING.get(kind, ())]
        times = _TIMES if any(it.time is not None for it in self._named.values()) else ()
        return tuple(dict.fromkeys((*_ALWAYS, *matching, *times)))

    def rows_of(self, table: KeyedTable) -> list[Row]:
        """Return the matching rows of a table, with `columns` only; raises `WorldError`."""
        batches = table.batches(self.columns, self.where)
        return [row for batch in batches for row in batch.to_pylist() if self.has(row)]

    def has(self, row: Row) -> bool:
        """Check whether a removal refers to a row that was not written or edited after it."""
        names: list[tuple[str, str]] = [(it, row[it]) for it in ("global_id", "post_id", "url") if it in row]
        if "author" in row:
            names.append(("account", account_of(row["author"], row["source"])))
        if "post_id" in row and row["post_id"] is None:
            names.append(("old", row["global_id"]))
        found = [it for name in names if (it := self._named.get(name)) and row["global_id"] not in it.kept]
        return any(it.time is None or not is_later(changed(row, row["extra"]), it.time) for it in found)
