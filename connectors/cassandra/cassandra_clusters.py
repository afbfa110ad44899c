"""Writer of the current clusters into a keyspace: each part of a flow writes its own clusters."""

from typing import Final

from connectors.cassandra.cassandra_facts import WriterClock, note_change
from connectors.cassandra.cassandra_schema import quoted, widen
from connectors.cassandra.cassandra_session import CassandraSession, Statement
from connectors.cassandra.cassandra_values import to_cql
from connectors.sinks.cluster_events import CLUSTERS
from connectors.sinks.sink import Mark, Row, TableCommand
from connectors.sinks.table_writer import WrittenTable
from core.columns import Table
from core.telemetry import STORE_WRITES

_PUT: Final = (
    f"INSERT INTO {CLUSTERS.name} ({', '.join(quoted(it.name) for it in CLUSTERS.columns)}) "
    f"VALUES ({', '.join('?' * len(CLUSTERS.columns))}) USING TIMESTAMP ?"
)


class CassandraClusters(WrittenTable):
    """Writer of the clusters of one part: of two rows of one cluster the later one wins."""

    def __init__(self, session: CassandraSession, table: Table, mark: Mark, part: int) -> None:
        """Add missing columns to the table; raises `WorldError` if it does not exist or has other types."""
        widen(session, [table])
        self._session = session
        self._part = part
        self._clock = WriterClock(mark["last"] if mark else 0)

    def upsert(self, rows: list[Row]) -> None:
        """Write rows; raises `WorldError`."""
        latest = {row[CLUSTERS.key]: row for row in rows}
        self._session.run(
            Statement(_PUT, (*(to_cql(it.name, it.type, row[it.name]) for it in CLUSTERS.columns), self._clock.next()))
            for row in latest.values()
        )
        STORE_WRITES.labels(CLUSTERS.name).inc()
        self._session.run([note_change(f"{CLUSTERS.name}.{self._part}", self._clock)])

    def execute(self, command: TableCommand) -> None:
        """Do nothing: Cassandra compacts its tables by itself."""

    def mark(self) -> Mark:
        """Return the last write timestamp for a snapshot: later writes get later ones, even if the clock goes back."""
        return {"version": 1, "last": self._clock.last}
