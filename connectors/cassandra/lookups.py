"""Rows of the lookup tables by which posts are found: all of them are derived from a post's own row."""

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
"""Number of writers of a table, fixed for the life of a keyspace: names are sharded by it, one shard per writer."""
KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    POSTS_BY_CLUSTER: ("cluster", "month", "listed", "global_id"),
    POSTS_BY_HOUR: ("source", "hour", "listed", "global_id"),
    POSTS_BY_NAME: ("name", "shard", "global_id"),
}
REFERRING: Final = (
    f"SELECT global_id FROM {POSTS_BY_NAME} WHERE name = ? AND shard IN ({', '.join(map(str, range(PARTS)))})"
)
"""Query for the posts of all parts that have a name."""
LOOKED_AT: Final = (
    "global_id", "post_id", "url", "author", "source", "picture_sha256", "duplicate_of", "cluster", "revision",
    "version", "listed",
)  # fmt: skip
"""Columns of posts from which the lookup rows are derived, the key first."""

_FIRST: Final = datetime(1990, 1, 1, tzinfo=UTC)
_LONGEST_KEY: Final = 512
"""Longest source, in bytes, that is part of a key as it is; a longer one is hashed. Cassandra's limit is 64 KiB."""
_MS_BITS: Final = 42
_MS: Final = 2**_MS_BITS - 1
_HIGHEST: Final = 2**21 - 1
_HOUR: Final = 3600
_AT_ONCE: Final = 32
"""Ids in one IN query, for which one coordinator queries the replicas."""


class Lookup(NamedTuple):
    """One row of a lookup table, which is only a key."""

    table: str
    key: tuple[Any, ...]


def write_timestamp(version: int, joined: datetime) -> int:
    """Return the write timestamp of a post's row, derived from the post alone.

    So a repeated write is idempotent, and a later version has a higher timestamp. Of two writes of one version the one
    joined later wins, for all columns.
    """
    return min(version, _HIGHEST) << _MS_BITS | (int(joined.timestamp() * 1000) & _MS)


def last_timestamp(version: int) -> int:
    """Return the highest timestamp of a version: a delete with it outlasts every repeated write of that version."""
    return min(version, _HIGHEST) << _MS_BITS | _MS


def part_of(key: str) -> int:
    """Return the part, in 0 to `PARTS` - 1, that writes the row with this key."""
    return crc32(key.encode(errors="surrogatepass")) % PARTS


def hash_of_name(kind: str, text: str) -> bytes:
    """Return the hash of a name as a partition key (16 bytes), because a name may be a megabyte long."""
    return blake2b(text.encode(errors="surrogatepass"), digest_size=16, person=kind.encode()).digest()


def source_key(source: str) -> str:
    """Return a source as part of a partition key: itself, or its hash if it is too long."""
    is_short = len(source.encode(errors="surrogatepass")) <= _LONGEST_KEY
    return source if is_short else hash_of_name("source", source).hex()


def month_of(time: datetime) -> int:
    """Return the time bucket of a month: year * 12 + month, with months from 0.

    >>> month_of(datetime(2026, 3, 1))
    24314
    """
    return time.year * 12 + time.month - 1


def hour_of(time: datetime) -> int:
    """Return the time bucket of an hour: hours since 1970."""
    return int(time.timestamp()) // _HOUR


def listed_time(created: str, joined: datetime) -> datetime:
    """Return the time by which a post is listed: when it was created, or if that is implausible, when it was joined.

    So made-up times create no partitions before 1990 or in the future.
    """
    time = time_or_none(created)
    return time if time is not None and _FIRST <= time <= joined else joined


def lookups_of(row: Mapping[str, Any]) -> set[Lookup]:
    """Return the lookup rows of a post, whose row has the columns of `LOOKED_AT`."""
    post, listed = row["global_id"], utc(row["listed"])
    found = {Lookup(POSTS_BY_HOUR, (source_key(row["source"] or ""), hour_of(listed), listed, post))}
    if row["cluster"] is not None and row["cluster"] >= 0:  # negative: no cluster, of any number of posts
        found.add(Lookup(POSTS_BY_CLUSTER, (row["cluster"], month_of(listed), listed, post)))
    shard = part_of(post)
    found |= {Lookup(POSTS_BY_NAME, (name, shard, post)) for name in _names(row)}
    return found


def utc(time: datetime) -> datetime:
    """Return a time in UTC, truncated to milliseconds as Cassandra stores it. The driver's times are naive UTC."""
    aware = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return aware.replace(microsecond=aware.microsecond // 1000 * 1000)


def _names(row: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield the hashes of all names by which deletes and copies refer to a post, except its id, the key of its row."""
    names = (
        ("post", row["post_id"] if row["post_id"] != row["global_id"] else ""),
        ("url", row["url"]),
        ("account", account_of(row["author"] or "", row["source"] or "")),
        ("picture", row["picture_sha256"]),
        ("original", without_number(row["duplicate_of"] or "")),  # a delete may name the post as a whole
    )
    return (hash_of_name(kind, text) for kind, text in names if text)


def insert_lookup(lookup: Lookup, at: int, seconds: int) -> Statement:
    """Return the statement that inserts a lookup row with timestamp `at` and a TTL of `seconds`; 0: for ever."""
    names = KEYS[lookup.table]
    marks = ", ".join("?" * len(names))
    cql = f"INSERT INTO {lookup.table} ({', '.join(names)}) VALUES ({marks}) USING TIMESTAMP ? AND TTL ?"
    return Statement(cql, (*lookup.key, at, seconds))


def delete_lookup(lookup: Lookup, at: int) -> Statement:
    """Return the statement that deletes a lookup row with timestamp `at`."""
    where = " AND ".join(f"{it} = ?" for it in KEYS[lookup.table])
    return Statement(f"DELETE FROM {lookup.table} USING TIMESTAMP ? WHERE {where}", (at, *lookup.key))


def account_key(author: str, source: str) -> bytes:
    """Return the hash of an account, as a partition key."""
    return hash_of_name("account", account_of(author, source))


def known_rows(session: CassandraSession, ids: Iterable[str], columns: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Read columns, the id first, of the posts that exist, by id; raises `WorldError`."""
    wanted = list(dict.fromkeys(ids))
    cql = f"SELECT {', '.join(map(quoted, columns))} FROM {POSTS} WHERE global_id IN ?"
    batches = [wanted[start : start + _AT_ONCE] for start in range(0, len(wanted), _AT_ONCE)]
    found = session.run(Statement(cql, (it,)) for it in batches)
    return {row[0]: dict(zip(columns, row, strict=True)) for rows in found for row in rows}
