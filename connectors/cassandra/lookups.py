"""What lies in tables besides that of posts, so that a post is found: all of it follows from the row."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final, NamedTuple
from zlib import crc32

from connectors.cassandra.cassandra_schema import POSTS_BY_CLUSTER, POSTS_BY_HOUR, POSTS_BY_NAME, quoted
from connectors.cassandra.cassandra_session import CassandraSession, Statement
from connectors.sinks.record_table import POSTS
from core.records import account_of
from core.removals import without_number
from core.times import time_or_none

PARTS: Final = 8
"""Writers of a table, for the life of a keyspace: names are dealt to as many shards, one for each writer."""
KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    POSTS_BY_CLUSTER: ("cluster", "month", "listed", "global_id"),
    POSTS_BY_HOUR: ("source", "hour", "listed", "global_id"),
    POSTS_BY_NAME: ("name", "shard", "global_id"),
}
REFERRING: Final = (
    f"SELECT global_id FROM {POSTS_BY_NAME} WHERE name = ? AND shard IN ({', '.join(map(str, range(PARTS)))})"
)
"""The posts of all parts that have a name."""
LOOKED_AT: Final = (
    "global_id", "post_id", "url", "author", "source", "picture_sha256", "duplicate_of", "cluster", "revision",
    "version", "listed",
)  # fmt: skip
"""Columns of posts that lookups follow from, the key first."""

_FIRST: Final = datetime(1990, 1, 1, tzinfo=UTC)
_LONGEST_KEY: Final = 512
"""Bytes of a source as it stands in a key, which may have 64 KiB; a longer one stands there by its hash."""
_MS_BITS: Final = 42
_MS: Final = 2**_MS_BITS - 1
_HIGHEST: Final = 2**21 - 1
_HOUR: Final = 3600
_AT_ONCE: Final = 32
"""Ids in one statement, which one node then asks the others for."""


class Lookup(NamedTuple):
    """One row of a lookup table: nothing but its key."""

    table: str
    key: tuple[Any, ...]


def stamp(version: int, joined: datetime) -> int:
    """The timestamp of a write, of the post alone: written again it is the same, and a later version has a higher one.

    Of two writes of one version the one that was joined later counts, as a whole.
    """
    return min(version, _HIGHEST) << _MS_BITS | (int(joined.timestamp() * 1000) & _MS)


def last_stamp(version: int) -> int:
    """The highest timestamp of a version: what is deleted with it is gone, however often it is written again."""
    return min(version, _HIGHEST) << _MS_BITS | _MS


def part_of(key: str) -> int:
    """The part that writes the row of a key."""
    return crc32(key.encode(errors="surrogatepass")) % PARTS


def name_of(kind: str, text: str) -> bytes:
    """A name as a key: names may have a megabyte."""
    return blake2b(text.encode(errors="surrogatepass"), digest_size=16, person=kind.encode()).digest()


def source_key(source: str) -> str:
    """A source as it stands in a key."""
    return source if len(source.encode(errors="surrogatepass")) <= _LONGEST_KEY else name_of("source", source).hex()


def month_of(time: datetime) -> int:
    """Years * 12 + month, from 0."""
    return time.year * 12 + time.month - 1


def hour_of(time: datetime) -> int:
    """Hours since 1970."""
    return int(time.timestamp()) // _HOUR


def listed_time(created: str, joined: datetime) -> datetime:
    """The time by which a post is listed: when it was posted, or where that cannot be, when it was joined.

    A stranger who makes up times makes no partitions before 1990, nor in the future.
    """
    said = time_or_none(created)
    return said if said is not None and _FIRST <= said <= joined else joined


def lookups_of(row: Mapping[str, Any]) -> set[Lookup]:
    """What is to lie in lookup tables for a row of posts, which has the columns of `LOOKED_AT`."""
    post, listed = row["global_id"], utc(row["listed"])
    found = {Lookup(POSTS_BY_HOUR, (source_key(row["source"] or ""), hour_of(listed), listed, post))}
    if row["cluster"] is not None and row["cluster"] >= 0:  # the others are in no cluster, and may be any number
        found.add(Lookup(POSTS_BY_CLUSTER, (row["cluster"], month_of(listed), listed, post)))
    shard = part_of(post)
    found |= {Lookup(POSTS_BY_NAME, (name, shard, post)) for name in _names(row)}
    return found


def utc(time: datetime) -> datetime:
    """A time of the driver, which knows no zones, to the millisecond."""
    aware = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return aware.replace(microsecond=aware.microsecond // 1000 * 1000)


def _names(row: Mapping[str, Any]) -> Iterator[bytes]:
    """Whatever a delete, or what refers to the post, may name it by; its own id is the key of its row."""
    names = (
        ("post", row["post_id"] if row["post_id"] != row["global_id"] else ""),
        ("url", row["url"]),
        ("account", account_of(row["author"] or "", row["source"] or "")),
        ("picture", row["picture_sha256"]),
        ("original", without_number(row["duplicate_of"] or "")),  # a delete may name the post as a whole
    )
    return (name_of(kind, text) for kind, text in names if text)


def put(lookup: Lookup, at: int, seconds: int) -> Statement:
    """What writes a row of a lookup table; it is kept for so many seconds, 0: for ever."""
    names = KEYS[lookup.table]
    marks = ", ".join("?" * len(names))
    cql = f"INSERT INTO {lookup.table} ({', '.join(names)}) VALUES ({marks}) USING TIMESTAMP ? AND TTL ?"
    return Statement(cql, (*lookup.key, at, seconds))


def dropped(lookup: Lookup, at: int) -> Statement:
    """What deletes a row of a lookup table."""
    where = " AND ".join(f"{it} = ?" for it in KEYS[lookup.table])
    return Statement(f"DELETE FROM {lookup.table} USING TIMESTAMP ? WHERE {where}", (at, *lookup.key))


def account_key(author: str, source: str) -> bytes:
    """An account as the key of a row."""
    return name_of("account", account_of(author, source))


def known_rows(session: CassandraSession, ids: Iterable[str], columns: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Some columns of the posts that are there, by id; raises `WorldError`."""
    wanted = list(dict.fromkeys(ids))
    cql = f"SELECT {', '.join(map(quoted, columns))} FROM {POSTS} WHERE global_id IN ?"
    some = [wanted[start : start + _AT_ONCE] for start in range(0, len(wanted), _AT_ONCE)]
    found = session.run(Statement(cql, (it,)) for it in some)
    return {row[0]: dict(zip(columns, row, strict=True)) for rows in found for row in rows}
