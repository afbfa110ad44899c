"""Rows of posts that their authors took back: deleted, or hidden with their account and kept aside until it returns.

Hidden rows lie in a table of their own, so that whoever reads posts does not have to know of them.
"""

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import chain, groupby
from typing import Any, Final

import orjson
import pyarrow as pa

from connectors.sinks.record_table import HIDDEN, IMAGE_COLUMN, LOOKED_UP
from connectors.sinks.sink import Row
from connectors.store.arrow_schema import is_custom
from connectors.store.cluster_ids import note_deleted
from connectors.store.conditions import listed, pieces
from connectors.store.keyed_table import KeyedTable
from connectors.store.lance_tables import LanceTables
from connectors.store.quoting_answers import drop_quoting
from connectors.store.thumbnails import Thumbnails
from core.bounded_dict import BoundedDict
from core.records import Post, Removal, account_of, is_later
from core.removals import REMEMBERED, Removed, ids_of, without_number
from core.telemetry import REMOVED_ROWS
from core.times import time_or_none

_MOST: Final = 500
"""Rows, and names in one condition."""
_SHOWN: Final = 4096
ORIGINAL: Final = "duplicate_of"
"""What a post is a copy of: it names that post."""
_ALWAYS: Final = ("global_id", "cluster", IMAGE_COLUMN.column.name)
"""What is read of a row that is named; of a million rows each column more takes some milliseconds a second."""
_TELLING: Final = {"post_id": ("post_id",), "old": ("post_id",), "url": ("url",), "account": ("author", "source")}
"""What tells whether a row is the one that is named so."""
_TIMES: Final = ("created_time", "extra")
"""What tells when it was written or edited last."""


class RemovedPosts:
    """What was taken back lately, and what that means for rows that are there and for those that come.

    Args:
        tables: Of the store.
        posts: The table of posts.
        thumbnails: Of posts; one goes with the last post that refers to it.
        state: A snapshot.
        memory_days: So long a delete is remembered.
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
        """Accounts that hide their posts, and since when."""
        self._shown: BoundedDict[str, datetime | None] = BoundedDict(_SHOWN, state["shown"] if state else ())
        """Those that were said to show them last: older news may come later, from another process."""
        self._aside: KeyedTable | None = None
        self._has_old = posts.has("post_id IS NULL")
        """Whether an earlier version wrote rows, which do not say of which post they are."""

    def is_gone(self, row: Row) -> bool:
        """Whether a row that comes is of a post that was taken back before."""
        account = account_of(row["author"], row["source"])
        return self._removed.has(
            row["global_id"], row["post_id"], account, lambda: changed(row, row["extra"]), row["url"]
        )

    def is_gone_original(self, global_id: str) -> bool:
        """Whether a post that a row is a copy of was taken back by its id."""
        return self._removed.has(global_id, without_number(global_id), "", lambda: None)

    def refuse(self, rows: Sequence[Row]) -> None:
        """Let go of the small images of rows that came after their delete; raises `WorldError`."""
        images = [key for row in rows if (key := row[IMAGE_COLUMN.column.name]) is not None]
        self._thumbnails.drop_unused(images, self._tables(), {row["global_id"] for row in rows})

    def is_gone_post(self, post: Post) -> bool:
        """Whether a post whose row is still to come was taken back before."""
        return self._removed.has(post.global_id, post.whole_id, post.account, lambda: post.changed, post.url)

    def is_hidden(self, row: Row) -> bool:
        """Whether a row that comes is of an account that hides its posts."""
        return account_of(row["author"], row["source"]) in self._hidden

    def keep_aside(self, rows: list[Row]) -> None:
        """Write rows, as tables hold them, to where nobody sees them; raises `WorldError`."""
        if rows:
            self._hidden_table().upsert(rows)

    def take(self, removals: Sequence[Removal]) -> list[str]:
        """Do what is said, in its order; gives ids of rows that came back. Raises `WorldError`.

        Done twice it is as if it were done once.
        """
        back: list[str] = []
        for hidden, group in groupby(removals, lambda it: it.hidden):
            those = list(group)
            if hidden is None:
                self._delete(those)
            else:
                back += self._move(self._news(those), hidden=hidden)
        return back

    def named(self, removals: Sequence[Removal]) -> list[str]:
        """The ids of the rows that removals name, those that are hidden among them; raises `WorldError`."""
        parts = (_Picked(list(some), self._has_old) for some in pieces(list(removals), _MOST))
        return [row["global_id"] for it in parts for table in self._tables() for row in it.rows_of(table)]

    def compact(self, *, erase: bool = False) -> None:
        """Put the table of hidden rows together; `erase`: so that no file holds what was deleted."""
        if self._is_aside():
            table = self._hidden_table()
            table.erase() if erase else table.compact()

    def state(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "removed": self._removed.state(),
            "hidden": list(self._hidden.items()),
            "shown": list(self._shown.items()),
        }

    def _delete(self, removals: list[Removal]) -> None:
        for it in removals:
            self._removed.note(it)
        for start in range(0, len(removals), _MOST):
            picked = _Picked(removals[start : start + _MOST], self._has_old)
            tables = self._tables()
            found = [picked.rows_of(table) for table in tables]
            rows = list(chain.from_iterable(found))
            note_deleted(self._store.state, max((row["cluster"] for row in rows), default=-1))
            # What rows refer to goes before them: whoever dies in between finds the rows once more.
            gone = [row["global_id"] for row in rows]
            drop_quoting(self._store, gone)
            for some in pieces(gone, _MOST):
                for table in tables:
                    table.set_where(f"{ORIGINAL} IN ({listed(some)})", {ORIGINAL: None})
            images = filter(None, (row[IMAGE_COLUMN.column.name] for row in rows))
            self._thumbnails.drop_unused(images, tables, {row["global_id"] for row in rows})
            for table, those in zip(tables, found, strict=True):
                for some in pieces([row["global_id"] for row in those], _MOST):
                    table.delete_where(f"global_id IN ({listed(some)})")
            REMOVED_ROWS.labels("deleted").inc(len(rows))

    def _news(self, removals: Iterable[Removal]) -> list[tuple[str, str]]:
        """Accounts of which that is news, each as author and source."""
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
        """Move the rows of accounts aside or back; gives the ids of those that came back."""
        if not accounts or not (hidden or self._is_aside()):
            return []
        here, there = self._posts, self._hidden_table()
        source, to = (here, there) if hidden else (there, here)
        moved: list[str] = []
        wanted = set(accounts)
        for some in pieces(accounts, _MOST):
            where = f"author IN ({listed(author for author, _ in some)})"
            found = [
                row["global_id"]
                for batch in source.batches(("global_id", "author", "source"), where)
                for row in batch.to_pylist()
                if (row["author"], row["source"]) in wanted
            ]
            for ids in pieces(found, _MOST):
                picked = f"global_id IN ({listed(ids)})"
                rows = [row for it in source.batches(tuple(source.schema.names), picked) for row in it.to_pylist()]
                to.upsert(rows)  # there before it is gone here, so that a crash between the two loses nothing
                source.delete_where(picked)
                moved += ids
        REMOVED_ROWS.labels("hidden" if hidden else "shown").inc(len(moved))
        return [] if hidden else moved

    def _tables(self) -> list[KeyedTable]:
        return [self._posts, *([self._hidden_table()] if self._is_aside() else [])]

    def _is_aside(self) -> bool:
        return self._aside is not None or self._store.has(HIDDEN)

    def _hidden_table(self) -> KeyedTable:
        """The table of hidden rows, made when it is first needed."""
        if self._aside is None:
            schema = pa.schema([it if is_custom(it) else it.remove_metadata() for it in self._posts.schema])
            self._aside = KeyedTable(self._store, HIDDEN, "global_id", schema, "revision", LOOKED_UP)
        return self._aside


def changed(row: Row, extra: Any) -> datetime | None:
    """When the post of a row was written or edited last; None where it does not say."""
    fields = orjson.loads(extra or b"{}") if isinstance(extra, str) else extra
    return time_or_none(fields.get("edited")) or time_or_none(row["created_time"])


class _Picked:
    """Rows that removals name."""

    def __init__(self, removals: list[Removal], has_old: bool) -> None:
        self._named: dict[tuple[str, str], Removal] = {}
        for it in removals:
            pairs = (("global_id", it.global_id), ("post_id", it.post_id), ("url", it.url), ("account", it.account))
            self._named |= {pair: it for pair in pairs if pair[1]}
            if has_old and it.post_id:
                self._named |= {("old", name): it for name in ids_of(it)}

    @property
    def where(self) -> str:
        """A condition in SQL that is true of these rows, and of a few more."""
        names: dict[str, list[str]] = {}
        for kind, name in self._named:
            names.setdefault(kind, []).append(name)
        accounts = [self._named["account", it].author for it in names.pop("account", ())]
        old = names.pop("old", ())
        parts = [f"{column} IN ({listed(those)})" for column, those in names.items()]
        parts += [f"author IN ({listed(accounts)})"] if accounts else []
        parts += [f"(post_id IS NULL AND global_id IN ({listed(old)}))"] if old else []
        return " OR ".join(parts)

    @property
    def columns(self) -> tuple[str, ...]:
        """Those of a row that tell whether it is named, and what goes with it."""
        telling = [name for kind, _ in self._named for name in _TELLING.get(kind, ())]
        times = _TIMES if any(it.time is not None for it in self._named.values()) else ()
        return tuple(dict.fromkeys((*_ALWAYS, *telling, *times)))

    def rows_of(self, table: KeyedTable) -> list[Row]:
        """Those of a table, as far as a delete looks at them; raises `WorldError`."""
        batches = table.batches(self.columns, self.where)
        return [row for batch in batches for row in batch.to_pylist() if self.has(row)]

    def has(self, row: Row) -> bool:
        """Whether a row is named, and was not written or edited later."""
        names: list[tuple[str, str]] = [(it, row[it]) for it in ("global_id", "post_id", "url") if it in row]
        if "author" in row:
            names.append(("account", account_of(row["author"], row["source"])))
        if "post_id" in row and row["post_id"] is None:
            names.append(("old", row["global_id"]))
        found = [it for name in names if (it := self._named.get(name)) and row["global_id"] not in it.kept]
        return any(it.time is None or not is_later(changed(row, row["extra"]), it.time) for it in found)
