"""Endpoint of a `cassandra://` address."""

from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from connectors.cassandra.cassandra_place import FORM, SCHEME, CassandraPlace, CassandraSettings
from connectors.endpoint import Endpoint, SinkOptions
from connectors.sinks.sink import Sink, TableItem
from core.columns import Table

if TYPE_CHECKING:
    from connectors.cassandra.cassandra_store import CassandraStore

_STATE: Final = Path("memewax.state")
"""Default folder of control/, status/ and notes for a flow that writes to no folder."""


class CassandraEndpoint(Endpoint[CassandraSettings]):
    """A store in a Cassandra keyspace."""

    takes_rows = FORM

    def __init__(self, address: str, keyspace: CassandraPlace) -> None:
        super().__init__(address)
        self.keyspace = keyspace

    @classmethod
    def of(cls, address: str) -> Self | None:
        """Parse an address; return None if the scheme is another one.

        Raises `SettingsError` if the address is incomplete or contains a password.
        """
        if not address.startswith(SCHEME.partition("/")[0]):
            return None
        return cls(address, CassandraPlace.of(address))

    @property
    def place(self) -> str:
        """Return the normalised address of the keyspace."""
        return str(self.keyspace)

    def store(self, settings: CassandraSettings, state: Path | None = None) -> "CassandraStore":
        """Open the store; `state` is the local folder of control/, status/ and notes."""
        from connectors.cassandra.cassandra_store import CassandraStore

        return CassandraStore(self.keyspace, settings, state or _STATE)

    def table_sink(self, table: Table, options: SinkOptions, settings: CassandraSettings) -> Sink[TableItem]:
        """Return a sink into a table of the store, to which every worker writes."""
        from connectors.store.store_sink import StoreSink

        store = self.store(settings, options.state)
        return StoreSink(store, table, options.measured, settings.forget_memory_days)
