"""Writes what clusters are now into a keyspace: each part of a flow those that are its own."""

from typing import Final

from connectors.cassandra.cassandra_facts import WriterClock, changed
from connectors.cassandra.cassandra_schema import quoted, widen
from connectors.cassandra.cassandra_session import CassandraSession, Statement
from connectors.cassandra.cassandra_values import to_cql
from connectors.sinks.cluster_events import CLUSTERS
from connectors.sinks.sink import Mark, Order, Row
from connectors.sinks.table_writer import WrittenTable
from core.columns import Table
from core.telemetry import STORE_WRITES

_PUT: Final = (
    f"INSERT INTO {CLUSTERS.name} ({', '.join(quoted(it.name) for it in CLUSTERS.columns)}) "
    f"VALUES ({', '.join('?' * len(CLUSTERS.columns))}) USING TIMESTAMP ?"
)


class CassandraClusters(WrittenTable):
    """The rows of clusters of one part: of two of one cluster the later one stays."""

    def __init__(self, session: CassandraSession, table: Table, mark: Mark, part: int) -> None:
        """Widen the table where it lacks a column; raises `WorldError` where it is not there or is another."""
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
        self._session.run([changed(f"{CLUSTERS.name}.{self._part}", self._clock)])

    def obey(self, order: Order) -> None:
        """Do nothing: Cassandra puts tables together by itself."""

    def mark(self) -> Mark:
        """The time of the last write: later ones have a later time, whatever a machine's clock does."""
        return {"version": 1, "last": self._clock.last}
