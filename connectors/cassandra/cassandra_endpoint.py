"""A keyspace of Cassandra, as an address."""

from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from connectors.cassandra.cassandra_place import FORM, SCHEME, CassandraPlace, CassandraSettings
from connectors.endpoint import Endpoint, SinkOptions
from connectors.sinks.sink import Sink, TableItem
from core.columns import Table

if TYPE_CHECKING:
    from connectors.cassandra.cassandra_store import CassandraStore

_STATE: Final = Path("memewax.state")
"""Where a flow that writes to no folder has control/, status/ and notes, where nothing else is said."""


class CassandraEndpoint(Endpoint[CassandraSettings]):
    """The store in a keyspace."""

    takes_rows = FORM

    def __init__(self, address: str, keyspace: CassandraPlace) -> None:
        super().__init__(address)
        self.keyspace = keyspace

    @classmethod
    def of(cls, address: str) -> Self | None:
        """The keyspace; raises `SettingsError` where the address is not whole, or holds a password."""
        if not address.startswith(SCHEME.partition("/")[0]):
            return None
        return cls(address, CassandraPlace.of(address))

    @property
    def place(self) -> str:
        """The keyspace, by its first host."""
        return str(self.keyspace)

    def store(self, settings: CassandraSettings, state: Path | None = None) -> "CassandraStore":
        """The store that is there; `state`: the folder of control/, status/ and notes."""
        from connectors.cassandra.cassandra_store import CassandraStore

        return CassandraStore(self.keyspace, settings, state or _STATE)

    def table_sink(self, table: Table, options: SinkOptions, settings: CassandraSettings) -> Sink[TableItem]:
        """A table of the store, written by each worker."""
        from connectors.store.store_sink import StoreSink

        store = self.store(settings, options.state)
        return StoreSink(store, table, options.measured, settings.forget_memory_days)
