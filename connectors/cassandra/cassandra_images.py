"""Thumbnails of a keyspace: one per distinct image file, deleted with the last post that shows it."""

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from connectors.cassandra.cassandra_facts import WriterClock, note_change
from connectors.cassandra.cassandra_session import CassandraSession, Statement
from connectors.cassandra.lookups import REFERRING, hash_of_name
from connectors.sinks.record_table import POSTS, THUMBNAILS
from core.records import Thumbnail

_NAME: Final = THUMBNAILS.name
_KEY: Final = THUMBNAILS.key
_PUT: Final = (
    f"INSERT INTO {_NAME} ({_KEY}, webp, width, height, came_with) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?"
)
_DROP: Final = f"DELETE FROM {_NAME} USING TIMESTAMP ? WHERE {_KEY} = ?"
_ONE: Final = f"SELECT came_with, WRITETIME(webp) AS written FROM {_NAME} WHERE {_KEY} = ?"
_UNNAME: Final = f"DELETE came_with FROM {_NAME} USING TIMESTAMP ? WHERE {_KEY} = ?"
_KEYS: Final = f"SELECT {_KEY} FROM {_NAME}"
_IS_THERE: Final = f"SELECT global_id FROM {POSTS} WHERE global_id = ?"
_AT_ONCE: Final = 500


class CassandraImages:
    """Writer of the thumbnails of one part of a flow.

    Args:
        session: With the keyspace.
        part: Number of the part.
        seconds: TTL of each thumbnail; 0: for ever.
    """

    def __init__(self, session: CassandraSession, part: int, seconds: int) -> None:
        self._session = session
        self._writer = f"{_NAME}.{part}"
        self._seconds = seconds
        self._clock = WriterClock()

    def keep(self, thumbnails: Iterable[Thumbnail]) -> None:
        """Write the thumbnail of each post; raises `WorldError`.

        One that is stored already is written again: another part may just be dropping it with the last row that refers
        to it, and the row of this post has not arrived yet.
        """
        last = {it.post.picture_sha256: it for it in thumbnails}
        if not last:
            return
        self._session.run(
            Statement(_PUT, (key, it.webp, it.width, it.height, it.post.global_id, self._clock.next(), self._seconds))
            for key, it in last.items()
        )
        self._session.run([note_change(self._writer, self._clock)])

    def drop_unused(self, keys: Iterable[str], going: Collection[str] = frozenset()) -> None:
        """Drop those of `keys` to which no post refers; raises `WorldError`.

        A thumbnail stays if it last came with a post whose row is not written yet, or if it is rewritten meanwhile. The
        kept ones no longer name a post of `going`.

        Args:
            keys: Keys of thumbnails.
            going: Posts whose rows are about to be deleted, or will never be written.
        """
        wanted = sorted(set(keys))
        for start in range(0, len(wanted), _AT_ONCE):
            batch = wanted[start : start + _AT_ONCE]
            referring = self._session.run(Statement(REFERRING, (hash_of_name("picture", key),)) for key in batch)
            unused = {
                key for key, rows in zip(batch, referring, strict=True) if all(row.global_id in going for row in rows)
            }
            found = self._session.run(Statement(_ONE, (key,)) for key in batch)
            stored = {key: rows[0] for key, rows in zip(batch, found, strict=True) if rows and rows[0].written}
            named = [it.came_with for it in stored.values() if it.came_with and it.came_with not in going]
            pending = self._pending(named)
            gone = [key for key, it in stored.items() if key in unused and it.came_with not in pending]
            unnamed = [key for key, it in stored.items() if it.came_with in going and key not in gone]
            self._session.run(Statement(_DROP, (stored[key].written, key)) for key in gone)
            self._session.run(Statement(_UNNAME, (stored[key].written, key)) for key in unnamed)
            if gone:
                self._session.run([note_change(self._writer, self._clock)])

    def sweep(self) -> None:
        """Drop all thumbnails to which no post refers; raises `WorldError`."""
        for batch in _pieces(row[0] for row in self._session.rows(_KEYS)):
            self.drop_unused(batch)

    def _pending(self, posts: list[str]) -> set[str]:
        """Return those of `posts` whose row is not written yet."""
        found = self._session.run(Statement(_IS_THERE, (it,)) for it in posts)
        return {post for post, rows in zip(posts, found, strict=True) if not rows}


def _pieces(keys: Iterable[str]) -> Iterator[list[str]]:
    """Yield keys in batches of `_AT_ONCE`; the last one may be empty."""
    batch: list[str] = []
    for key in keys:
        batch.append(key)
        if len(batch) == _AT_ONCE:
            yield batch
            batch = []
    yield batch
