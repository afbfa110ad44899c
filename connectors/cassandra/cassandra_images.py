"""The small images of a keyspace: one for each file that an image was fetched as, gone with the last post of it."""

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from connectors.cassandra.cassandra_facts import WriterClock, changed
from connectors.cassandra.cassandra_session import CassandraSession, Statement
from connectors.cassandra.lookups import REFERRING, name_of
from connectors.sinks.record_table import POSTS, THUMBNAILS
from core.bounded_dict import BoundedDict
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
_RECENT: Final = 4096
_AT_ONCE: Final = 500


class CassandraImages:
    """The writer of small images of one part of a flow."""

    def __init__(self, session: CassandraSession, part: int, seconds: int) -> None:
        """`seconds`: so long each is kept; 0: for ever."""
        self._session = session
        self._what = f"{_NAME}.{part}"
        self._seconds = seconds
        self._clock = WriterClock()
        self._recent: BoundedDict[str, None] = BoundedDict(_RECENT)

    def keep(self, thumbnails: Iterable[Thumbnail]) -> None:
        """Write those that were not written just now; raises `WorldError`."""
        new = {it.post.picture_sha256: it for it in thumbnails if it.post.picture_sha256 not in self._recent}
        if not new:
            return
        self._session.run(
            Statement(_PUT, (key, it.webp, it.width, it.height, it.post.global_id, self._clock.next(), self._seconds))
            for key, it in new.items()
        )
        for key in new:
            self._recent[key] = None
        self._session.run([changed(self._what, self._clock)])

    def drop_unused(self, keys: Iterable[str], going: Collection[str] = frozenset()) -> None:
        """Drop those of `keys` that no post refers to; raises `WorldError`.

        One stays that came last with a post whose row is still on its way, or that is written anew meanwhile. None
        names a post that is going.

        Args:
            keys: Of small images.
            going: Posts whose rows are about to be deleted, or will never come.
        """
        wanted = sorted(set(keys))
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            referring = self._session.run(Statement(REFERRING, (name_of("picture", key),)) for key in some)
            unused = {
                key for key, rows in zip(some, referring, strict=True) if all(row.global_id in going for row in rows)
            }
            kept = self._session.run(Statement(_ONE, (key,)) for key in some)
            there = {key: rows[0] for key, rows in zip(some, kept, strict=True) if rows and rows[0].written}
            named = [it.came_with for it in there.values() if it.came_with and it.came_with not in going]
            coming = self._coming(named)
            gone = [key for key, it in there.items() if key in unused and it.came_with not in coming]
            unnamed = [key for key, it in there.items() if it.came_with in going and key not in gone]
            self._session.run(Statement(_DROP, (there[key].written, key)) for key in gone)
            self._session.run(Statement(_UNNAME, (there[key].written, key)) for key in unnamed)
            for key in gone:
                self._recent.pop(key, None)
            if gone:
                self._session.run([changed(self._what, self._clock)])

    def sweep(self) -> None:
        """Drop all that no post refers to; raises `WorldError`."""
        for some in _pieces(row[0] for row in self._session.rows(_KEYS)):
            self.drop_unused(some)

    def _coming(self, posts: list[str]) -> set[str]:
        """Those of which no row is there yet."""
        found = self._session.run(Statement(_IS_THERE, (it,)) for it in posts)
        return {post for post, rows in zip(posts, found, strict=True) if not rows}


def _pieces(keys: Iterable[str]) -> Iterator[list[str]]:
    some: list[str] = []
    for key in keys:
        some.append(key)
        if len(some) == _AT_ONCE:
            yield some
            some = []
    yield some
