"""Deletes of posts in a keyspace: of rows that are stored, and of rows that arrive after their own delete."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from connectors.cassandra.cassandra_changes import PostChanges
from connectors.cassandra.cassandra_facts import ERASED, raise_number
from connectors.cassandra.cassandra_images import CassandraImages
from connectors.cassandra.cassandra_schema import POSTS_BY_NAME
from connectors.cassandra.cassandra_session import CassandraSession, Statement
from connectors.cassandra.lookups import (
    LOOKED_AT,
    PARTS,
    delete_lookup,
    hash_of_name,
    known_rows,
    last_timestamp,
    lookups_of,
    part_of,
)
from connectors.sinks.record_table import POSTS
from connectors.sinks.sink import Row
from connectors.store.cluster_ids import DELETED, note_deleted
from connectors.store.removed_posts import changed
from core.bounded_dict import BoundedDict
from core.locks import locked
from core.records import Message, Post, Removal, account_of
from core.removals import REMEMBERED, Removed, without_number
from core.telemetry import REMOVED_ROWS
from core.times import time_or_none

_NAMED: Final = f"SELECT global_id FROM {POSTS_BY_NAME} WHERE name = ? AND shard = ?"
_FORGET_ORIGINAL: Final = f"DELETE duplicate_of FROM {POSTS} USING TIMESTAMP ? WHERE global_id = ?"
_DROP: Final = f"DELETE FROM {POSTS} USING TIMESTAMP ? WHERE global_id = ?"
_NO_MESSAGE: Final = Message(b"", "")
_COLUMNS: Final = (*LOOKED_AT, "created_time", "extra")


class PostDeletes:
    """Deletes the posts of one part, and remembers recent deletes to refuse rows that arrive later.

    Args:
        session: With the keyspace.
        images: Thumbnails, which are deleted with the last post that shows them.
        changes: Change log for readers.
        part: Number of the part.
        notes: Local folder of notes about the store.
        state: `state()` from a snapshot.
        memory_days: Days for which a delete is remembered.
    """

    def __init__(
        self,
        session: CassandraSession,
        images: CassandraImages,
        changes: PostChanges,
        part: int,
        notes: Path,
        state: Mapping[str, Any] | None,
        memory_days: float = math.inf,
    ) -> None:
        self._session = session
        self._images = images
        self._changes = changes
        self._part = part
        self._notes = notes
        self._removed = Removed(state["removed"] if state else None, days=memory_days)
        self._versions: BoundedDict[bytes, int] = BoundedDict(REMEMBERED, state["versions"] if state else ())
        """Version of each deleted row, by its hashed id: a later post with that id must get a higher version."""

    def state(self) -> dict[str, Any]:
        """Return the state for a snapshot."""
        return {"removed": self._removed.state(), "versions": list(self._versions.items())}

    def is_gone(self, row: Row) -> bool:
        """Check whether an arriving row is of a post that was deleted before."""
        account = account_of(row["author"], row["source"])
        return self._removed.has(
            row["global_id"], row["post_id"], account, lambda: changed(row, row["extra"]), row["url"]
        )

    def is_gone_original(self, global_id: str) -> bool:
        """Check whether the original of a duplicate was deleted by its id."""
        return self._removed.has(global_id, without_number(global_id), "", lambda: None)

    def is_gone_post(self, post: Post) -> bool:
        """Check whether a post whose row has not arrived yet was deleted before."""
        return self._removed.has(post.global_id, post.whole_id, post.account, lambda: post.changed, post.url)

    def version_before(self, row: Row, before: Mapping[str, Any] | None) -> int:
        """Return what to add to a row's revision, so that its writes win over those of a deleted row with this id."""
        if before is not None:
            return int((before["version"] or 0) - (before["revision"] or 0))
        return self._versions.get(hash_of_name("id", row["global_id"]), 0) if self._versions else 0

    def refuse(self, rows: Sequence[Row]) -> None:
        """Drop the thumbnails of rows that arrived after their delete, where unused; raises `WorldError`."""
        images = [key for row in rows if (key := row["picture_sha256"]) is not None]
        self._images.drop_unused(images, {row["global_id"] for row in rows})

    def delete(self, removals: Sequence[Removal]) -> None:
        """Delete the rows of this part that removals name. Idempotent; raises `WorldError`."""
        for it in removals:
            self._removed.note(it)
        self._forget_originals(removals)
        self._erase(matching_rows(self._session, removals, [self._part]))

    def _erase(self, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        going = {row["global_id"] for row in rows}
        self._notes.mkdir(parents=True, exist_ok=True)
        with locked(self._notes / f"{DELETED}.lock"):  # parts write it concurrently
            note_deleted(self._notes, max(row["cluster"] for row in rows))
        for row in rows:
            self._versions[hash_of_name("id", row["global_id"])] = row["version"]
        self._session.run(self._changes.log_statements(going))
        # Delete what refers to a row before the row: a writer killed in between finds the row again on replay.
        names = [
            Statement(_NAMED, (hash_of_name("original", without_number(post)), shard))
            for post in going
            for shard in range(PARTS)
        ]
        self._unlink((row.global_id for found in self._session.run(names) for row in found), going.__contains__)
        self._images.drop_unused([key for row in rows if (key := row["picture_sha256"])], going)
        lookups = [(it, last_timestamp(row["version"])) for row in rows for it in lookups_of(row)]
        self._session.run(delete_lookup(it, at) for it, at in lookups)
        self._session.run(Statement(_DROP, (last_timestamp(row["version"]), row["global_id"])) for row in rows)
        self._session.run([raise_number(ERASED, int(time.time()))])
        REMOVED_ROWS.labels("deleted").inc(len(rows))

    def _forget_originals(self, removals: Iterable[Removal]) -> None:
        """Unlink this part's duplicates that are written while another part deletes their originals."""
        wholes = {without_number(name) for it in removals for name in (it.global_id, it.post_id) if name}
        found = self._session.run(Statement(_NAMED, (hash_of_name("original", it), self._part)) for it in wholes)
        self._unlink((row.global_id for rows in found for row in rows), self.is_gone_original)

    def _unlink(self, copies: Iterable[str], is_gone: Any) -> None:
        """Clear `duplicate_of` of rows whose original was deleted."""
        rows = [
            row
            for row in known_rows(self._session, list(copies), LOOKED_AT).values()
            if row["duplicate_of"] and is_gone(row["duplicate_of"])
        ]
        self._session.run(self._changes.log_statements(row["global_id"] for row in rows))
        self._session.run(
            Statement(_FORGET_ORIGINAL, (last_timestamp(row["version"]), row["global_id"])) for row in rows
        )
        self._session.run(
            delete_lookup(it, last_timestamp(row["version"]))
            for row in rows
            for it in lookups_of(row) - lookups_of({**row, "duplicate_of": None})
        )


def matching_rows(session: CassandraSession, removals: Sequence[Removal], parts: Sequence[int]) -> list[dict[str, Any]]:
    """Return the rows of some parts that removals name, unless written or edited later; raises `WorldError`."""
    by_name: dict[tuple[str, str], list[Removal]] = {}
    by_id: dict[str, list[Removal]] = {}
    for it in removals:
        for name in {it.global_id, it.post_id} - {""}:
            if part_of(name) in parts:
                by_id.setdefault(name, []).append(it)
        for kind, name in (("post", it.post_id), ("url", it.url), ("account", it.account)):
            if name:
                by_name.setdefault((kind, name), []).append(it)
    wanted = [(group, hash_of_name(*name), shard) for name, group in by_name.items() for shard in parts]
    answers = session.run(Statement(_NAMED, (name, shard)) for _, name, shard in wanted)
    for (group, _, _), rows in zip(wanted, answers, strict=True):
        for row in rows:
            by_id.setdefault(row.global_id, []).extend(group)
    found = known_rows(session, list(by_id), _COLUMNS)
    return [row for row in found.values() if any(it.names(_post_of(row)) for it in by_id[row["global_id"]])]


def _post_of(row: Mapping[str, Any]) -> Post:
    """Return a post with the fields that `Removal.names` reads."""
    edited = time_or_none(orjson.loads(row["extra"] or "{}").get("edited"))
    return Post(
        row["global_id"],
        row["url"] or "",
        _NO_MESSAGE,
        author=row["author"] or "",
        created_time=row["created_time"] or "",
        source=row["source"] or "",
        post_id=row["post_id"] or "",
        edited=edited,
    )
