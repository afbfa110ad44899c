"""Log of recently changed posts, so that a reader which follows a keyspace need not read all posts again.

Each part of a flow writes the ids of posts to the log before it writes or deletes the posts. Afterwards it publishes
the time up to which all logged changes are done. A reader takes the entries up to that time. So it misses nothing if a
writer is killed in between: entries that were not done are published with the next change. Entries expire soon, so each
one names the change that it follows, and a reader detects when one is missing.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from connectors.cassandra.cassandra_facts import WriterClock, changes_in, note_change, numbers
from connectors.cassandra.cassandra_schema import CHANGES
from connectors.cassandra.cassandra_session import CassandraSession, Statement
from connectors.cassandra.lookups import hour_of
from connectors.sinks.record_table import POSTS
from connectors.store.conditions import in_batches

KEPT_HOURS: Final = 3
"""Time to live of entries, in hours; short, because entries name posts that may have been deleted."""
_HOUR_SECONDS: Final = 3600
_PUT: Final = f"INSERT INTO {CHANGES} (part, hour, at, follows, ids) VALUES (?, ?, ?, ?, ?) USING TTL ?"
_SINCE: Final = f"SELECT follows, ids FROM {CHANGES} WHERE part = ? AND hour = ? AND at > ? AND at <= ?"
_IDS: Final = 100
"""Maximum ids per entry."""


class PostChanges:
    """Writer of the change log, for one part of a flow; raises `WorldError`."""

    def __init__(self, session: CassandraSession, part: int) -> None:
        self._session = session
        self._part = part
        facts = numbers(session)
        self.clock = WriterClock(max(facts.values(), default=0))
        """Later than every time published before, also by another machine."""
        self._last = done_times(facts).get(str(part), 0)
        self._has_notes = False
        self._is_first = True

    def log_statements(self, ids: Iterable[str]) -> list[Statement]:
        """Return statements that log posts as about to change; run them before the posts are written or deleted."""
        found = [self._note(batch) for batch in in_batches(sorted(ids), _IDS)]
        self._has_notes = self._has_notes or bool(found)
        return found

    def done(self) -> None:
        """Publish that all logged changes are done, if any. The first call includes what an earlier writer left."""
        if not self._has_notes:
            if not self._is_first:
                return
            self._session.run([self._note([])])
        self._session.run([note_change(f"{POSTS}.{self._part}", self.clock)])
        self._last, self._is_first, self._has_notes = self.clock.last, False, False

    def _note(self, ids: list[str]) -> Statement:
        """Return the statement that writes one log entry."""
        at = self.clock.next()
        return Statement(_PUT, (self._part, _hour(at), at, self._last, ids, KEPT_HOURS * _HOUR_SECONDS))


def done_times(numbers: Mapping[str, int]) -> dict[str, int]:
    """Return, by part, the time up to which all logged changes are done, in microseconds since 1970."""
    return {name.rpartition(".")[2]: at for name, at in changes_in(numbers, f"{POSTS}.")}


def changed_since(session: CassandraSession, seen: Mapping[str, int], done: Mapping[str, int]) -> list[str] | None:
    """Return the distinct ids of posts that changed between two reads; None if log entries have expired.

    Args:
        session: With the keyspace.
        seen: `done_times` of the earlier read.
        done: `done_times` now.

    Raises:
        WorldError: if the log cannot be read.
    """
    if not done.keys() <= seen.keys():
        return None
    queries = []
    for part, until in done.items():
        first = max(_hour(seen[part]), _hour(until) - KEPT_HOURS)
        hours = range(first, _hour(until) + 1) if until > seen[part] else ()
        queries += [Statement(_SINCE, (int(part), hour, seen[part], until)) for hour in hours]
    ids: dict[str, None] = {}
    follows = dict(done)
    """The change that each part's first entry follows."""
    for statement, rows in zip(queries, session.run(queries), strict=True):
        part = str(statement.values[0])
        for row in rows:
            follows[part] = min(follows[part], row.follows)
            ids |= dict.fromkeys(row.ids or ())
    return list(ids) if all(follows[part] <= seen[part] for part in done) else None


def _hour(microseconds: int) -> int:
    """Return the hour bucket of a write timestamp."""
    return hour_of(datetime.fromtimestamp(microseconds // 1_000_000, UTC))
