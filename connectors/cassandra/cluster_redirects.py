"""Merges and splits of clusters, as the rows of a small table that readers keep in memory.

A post's row keeps for ever the cluster that it got on arrival. So a merge of a million posts writes one row.
"""

from collections.abc import Sequence
from typing import Any, Final

from connectors.cassandra.cassandra_facts import WriterClock, note_change
from connectors.cassandra.cassandra_schema import WAYS
from connectors.cassandra.cassandra_session import CassandraSession, Statement
from core.merges import Merges
from core.records import ClusterEvent

_PUT: Final = f"INSERT INTO {WAYS} (cluster, post, goes_to) VALUES (?, ?, ?) USING TIMESTAMP ?"
_DROP: Final = f"DELETE FROM {WAYS} USING TIMESTAMP ? WHERE cluster = ? AND post = ?"
_ALL: Final = f"SELECT cluster, post, goes_to, WRITETIME(goes_to) AS written FROM {WAYS}"

RedirectKey = tuple[int, str]
"""A cluster, and the id of the post that a split moved out of it; for a merge the id is empty."""


class ClusterRedirects:
    """Writer of the redirects; a flow has one.

    Args:
        session: With the keyspace.
        state: State of `Merges` from a snapshot; None if this run has no merges and splits yet.
        spans: Ranges (exclusive, inclusive; None: open) of the cluster ids of this run. Redirects of other runs stay.
    """

    def __init__(
        self, session: CassandraSession, state: dict[str, Any] | None, spans: Sequence[tuple[int, int | None]]
    ) -> None:
        self.merges = Merges() if state is None else Merges.of(state)
        self._session = session
        self._spans = spans
        self._clock = WriterClock()
        self._stored: dict[RedirectKey, int] | None = None

    def begin(self) -> None:
        """Delete, once, the redirects that are stored but not in the snapshot: a replay writes them again if needed.

        The constructor does not do this: a check whether the table can be written also constructs one, and must not
        change the table. Raises `WorldError`.
        """
        if self._stored is None:
            rows = list(self._session.rows(_ALL))
            self._clock.last = max((row.written for row in rows), default=0)
            self._stored = {
                (row.cluster, row.post): row.goes_to
                for row in rows
                if any(above < row.cluster and (end is None or row.cluster <= end) for above, end in self._spans)
            }
            self._write()

    def add(self, events: list[ClusterEvent]) -> None:
        """Apply merges and splits, in order; raises `WorldError`."""
        self.begin()
        self.merges.add(events)
        self._write()

    def _write(self) -> None:
        """Write the redirects that differ from the stored ones, deleting outdated ones first."""
        assert self._stored is not None
        wanted = redirects_of(self.merges)
        put = [Statement(_PUT, (*key, to, self._clock.next())) for key, to in (wanted.items() - self._stored.items())]
        gone = [Statement(_DROP, (self._clock.next(), *key)) for key in self._stored.keys() - wanted.keys()]
        if put or gone:
            self._session.run(gone)
            self._session.run(put)
            self._session.run([note_change(WAYS, self._clock)])
        self._stored = wanted


def redirects_of(merges: Merges) -> dict[RedirectKey, int]:
    """Return the redirect rows of merges and splits, with the cluster that each goes to."""
    state = merges.state()
    found: dict[RedirectKey, int] = {(cluster, ""): into for cluster, into in state["into"].items()}
    for post, ways in state["moved"].items():
        found |= {(cluster, post): into for cluster, into in ways.items()}
    return found


def moved_between(before: Merges, now: Merges) -> tuple[list[int], list[str]]:
    """Return the clusters, and the ids of posts moved by splits, whose current cluster differs between two states."""
    keys = redirects_of(before).keys() | redirects_of(now).keys()
    clusters = {cluster for cluster, post in keys if not post}
    return (
        sorted(it for it in clusters if before.resolve(it) != now.resolve(it)),
        sorted({post for it, post in keys if post and before.current(post, it) != now.current(post, it)}),
    )


def read_merges(session: CassandraSession) -> Merges:
    """Read the merges and splits of all runs; raises `WorldError`."""
    into: dict[int, int] = {}
    moved: dict[str, dict[int, int]] = {}
    for row in session.rows(_ALL):
        if row.post:
            moved.setdefault(row.post, {})[row.cluster] = row.goes_to
        else:
            into[row.cluster] = row.goes_to
    return Merges.of({"into": into, "moved": moved})
