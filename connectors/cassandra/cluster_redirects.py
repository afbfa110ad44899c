"""Where posts of a cluster are now: merges and splits, as the rows of a small table that readers keep in memory.

Rows of posts have the cluster that each got on arrival, for ever, so that a merge of a million posts is one row.
"""

from collections.abc import Sequence
from typing import Any, Final

from connectors.cassandra.cassandra_facts import WriterClock, changed
from connectors.cassandra.cassandra_schema import WAYS
from connectors.cassandra.cassandra_session import CassandraSession, Statement
from core.merges import Merges
from core.records import ClusterEvent

_PUT: Final = f"INSERT INTO {WAYS} (cluster, post, goes_to) VALUES (?, ?, ?) USING TIMESTAMP ?"
_DROP: Final = f"DELETE FROM {WAYS} USING TIMESTAMP ? WHERE cluster = ? AND post = ?"
_ALL: Final = f"SELECT cluster, post, goes_to, WRITETIME(goes_to) AS written FROM {WAYS}"

Way = tuple[int, str]
"""A cluster, and the post that a split moved out of it; of a merge no post."""


class ClusterRedirects:
    """The writer of them: one in a flow.

    Args:
        session: With the keyspace.
        state: Of a snapshot; None: nothing became of the clusters of this run yet.
        spans: The ids of clusters that this run gave or may give: above the first number, up to the second. Ways of
            other runs stay as they are.
    """

    def __init__(
        self, session: CassandraSession, state: dict[str, Any] | None, spans: Sequence[tuple[int, int | None]]
    ) -> None:
        self.merges = Merges() if state is None else Merges.of(state)
        self._session = session
        self._spans = spans
        self._clock = WriterClock()
        self._there: dict[Way, int] | None = None

    def begin(self) -> None:
        """Take back what is there and not in the snapshot, once: it comes again, or does not. Raises `WorldError`.

        Whoever only looks whether the table can be written does not come so far.
        """
        if self._there is None:
            rows = list(self._session.rows(_ALL))
            self._clock.last = max((row.written for row in rows), default=0)
            self._there = {
                (row.cluster, row.post): row.goes_to
                for row in rows
                if any(above < row.cluster and (end is None or row.cluster <= end) for above, end in self._spans)
            }
            self._write()

    def add(self, events: list[ClusterEvent]) -> None:
        """Take in merges and splits, in their order; raises `WorldError`."""
        self.begin()
        self.merges.add(events)
        self._write()

    def _write(self) -> None:
        assert self._there is not None
        wanted = redirects_of(self.merges)
        put = [Statement(_PUT, (*way, to, self._clock.next())) for way, to in (wanted.items() - self._there.items())]
        gone = [Statement(_DROP, (self._clock.next(), *way)) for way in self._there.keys() - wanted.keys()]
        if put or gone:
            self._session.run(gone)
            self._session.run(put)
            self._session.run([changed(WAYS, self._clock)])
        self._there = wanted


def redirects_of(merges: Merges) -> dict[Way, int]:
    """Merges and splits as rows."""
    state = merges.state()
    found: dict[Way, int] = {(cluster, ""): into for cluster, into in state["into"].items()}
    for post, ways in state["moved"].items():
        found |= {(cluster, post): into for cluster, into in ways.items()}
    return found


def moved_between(before: Merges, now: Merges) -> tuple[list[int], list[str]]:
    """What goes by another id than before: posts of which clusters, and which that a split moved."""
    ways = redirects_of(before).keys() | redirects_of(now).keys()
    clusters = {cluster for cluster, post in ways if not post}
    return (
        sorted(it for it in clusters if before.resolve(it) != now.resolve(it)),
        sorted({post for it, post in ways if post and before.current(post, it) != now.current(post, it)}),
    )


def read_merges(session: CassandraSession) -> Merges:
    """Merges and splits of all runs; raises `WorldError`."""
    into: dict[int, int] = {}
    moved: dict[str, dict[int, int]] = {}
    for row in session.rows(_ALL):
        if row.post:
            moved.setdefault(row.post, {})[row.cluster] = row.goes_to
        else:
            into[row.cluster] = row.goes_to
    return Merges.of({"into": into, "moved": moved})
