"""Which posts of a keyspace were changed lately, so that whoever follows it need not read all of them again.

Each part of a flow notes the ids of posts before it writes or deletes them, and says afterwards up to when all that it
noted is done. A reader takes what was noted up to there. So it misses nothing, whoever is killed in between: what was
noted and not done is told with the next change. Each note says which change it follows, so that a reader sees where one
is missing, since notes are not kept for long.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from connectors.cassandra.cassandra_facts import WriterClock, changed, changes_in, numbers
from connectors.cassandra.cassandra_schema import CHANGES
from connectors.cassandra.cassandra_session import CassandraSession, Statement
from connectors.cassandra.lookups import hour_of
from connectors.sinks.record_table import POSTS
from connectors.store.conditions import pieces

KEPT_HOURS: Final = 3
"""No longer, since notes name what may have been deleted."""
_HOUR_SECONDS: Final = 3600
_PUT: Final = f"INSERT INTO {CHANGES} (part, hour, at, follows, ids) VALUES (?, ?, ?, ?, ?) USING TTL ?"
_SINCE: Final = f"SELECT follows, ids FROM {CHANGES} WHERE part = ? AND hour = ? AND at > ? AND at <= ?"
_IDS: Final = 100
"""In one row."""


class PostChanges:
    """What one part of a flow changes of posts, told to those who read them; raises `WorldError`."""

    def __init__(self, session: CassandraSession, part: int) -> None:
        self._session = session
        self._part = part
        told = numbers(session)
        self.clock = WriterClock(max(told.values(), default=0))
        """Later than all that was told before, also by another machine."""
        self._last = told_of(told).get(str(part), 0)
        self._has_notes = False
        self._is_first = True

    def noted(self, ids: Iterable[str]) -> list[Statement]:
        """What notes that posts are about to be changed: to be run before they are deleted."""
        found = [self._note(some) for some in pieces(sorted(ids), _IDS)]
        self._has_notes = self._has_notes or bool(found)
        return found

    def done(self) -> None:
        """Say that all that was noted is done, where anything was; at first also what a writer before this one left."""
        if not self._has_notes:
            if not self._is_first:
                return
            self._session.run([self._note([])])
        self._session.run([changed(f"{POSTS}.{self._part}", self.clock)])
        self._last, self._is_first, self._has_notes = self.clock.last, False, False

    def _note(self, ids: list[str]) -> Statement:
        at = self.clock.next()
        return Statement(_PUT, (self._part, _hour(at), at, self._last, ids, KEPT_HOURS * _HOUR_SECONDS))


def told_of(numbers: Mapping[str, int]) -> dict[str, int]:
    """Up to when the parts of flows did what they noted, by part."""
    return {name.rpartition(".")[2]: at for name, at in changes_in(numbers, f"{POSTS}.")}


def changed_since(session: CassandraSession, seen: Mapping[str, int], told: Mapping[str, int]) -> list[str] | None:
    """The ids of posts that were changed between two times, each once; None where notes are missing.

    Args:
        session: With the keyspace.
        seen: What `told_of` gave before.
        told: What it gives now.

    Raises:
        WorldError: where they cannot be read.
    """
    if not told.keys() <= seen.keys():
        return None
    asked = []
    for part, until in told.items():
        first = max(_hour(seen[part]), _hour(until) - KEPT_HOURS)
        hours = range(first, _hour(until) + 1) if until > seen[part] else ()
        asked += [Statement(_SINCE, (int(part), hour, seen[part], until)) for hour in hours]
    ids: dict[str, None] = {}
    follows = dict(told)
    """What the first note of each part follows."""
    for statement, rows in zip(asked, session.run(asked), strict=True):
        part = str(statement.values[0])
        for row in rows:
            follows[part] = min(follows[part], row.follows)
            ids |= dict.fromkeys(row.ids or ())
    return list(ids) if all(follows[part] <= seen[part] for part in told) else None


def _hour(microseconds: int) -> int:
    return hour_of(datetime.fromtimestamp(microseconds // 1_000_000, UTC))
