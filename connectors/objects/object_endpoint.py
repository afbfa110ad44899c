"""Endpoint of a store on object storage: an address s3://BUCKET/PATH or gs://BUCKET/PATH."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from connectors.endpoint import Endpoint, SinkOptions
from connectors.objects.object_settings import ObjectSettings
from connectors.sinks.sink import Sink, TableItem
from core.columns import Table
from core.errors import SettingsError

if TYPE_CHECKING:
    from connectors.store.interface import Store

_ADDRESS: Final = re.compile(
    r"(?P<scheme>s3|gs)://(?P<bucket>[a-z0-9][a-z0-9._-]{1,220}[a-z0-9])/(?P<path>[A-Za-z0-9._/-]*[A-Za-z0-9._-])/?"
)
_SERVER: Final = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+/?")
_STATE: Final = Path("memewax.state")


class ObjectStorage(Endpoint[ObjectSettings]):
    """A path in a bucket."""

    takes_rows = "s3://BUCKET/PATH or gs://BUCKET/PATH"

    @classmethod
    def of(cls, address: str) -> Self | None:
        """Parse an address; return None if its scheme is neither s3 nor gs.

        Raises:
            SettingsError: if the bucket or path is missing, or the address may contain a secret.
        """
        scheme = address.partition("://")[0]
        if scheme not in {"s3", "gs"} or "://" not in address:
            return None
        if "@" in address or "?" in address or "#" in address:  # do not echo it: it may contain a key
            raise SettingsError(
                f"the address of a store must be {cls.takes_rows} and nothing more: credentials come from the "
                "environment (AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), the server "
                "from MEMEWAX_S3_ENDPOINT"
            )
        if _ADDRESS.fullmatch(address) is None:
            raise SettingsError(f"{address!r} is not {cls.takes_rows}")
        return cls(address.rstrip("/"))

    def store(self, settings: ObjectSettings, state: Path | None = None) -> "Store":
        """Return the store at the address; raises `SettingsError` if the server's URL is invalid."""
        from connectors.objects.object_store import ObjectStore
        from connectors.objects.object_tables import ObjectPlace

        found = _ADDRESS.fullmatch(self.address)
        assert found is not None
        server = settings.s3_endpoint.rstrip("/")
        if server and _SERVER.fullmatch(server) is None:  # do not echo it: it may contain a key
            raise SettingsError("MEMEWAX_S3_ENDPOINT must be http://HOST:PORT or https://HOST:PORT and nothing more")
        place = ObjectPlace(self.address, server, settings.store_timeout_seconds)
        return ObjectStore(place, state or _STATE, writers=settings.store_writers)

    def table_sink(self, table: Table, options: SinkOptions, settings: ObjectSettings) -> Sink[TableItem]:
        """Return a sink that writes a table of the store."""
        from connectors.store.store_sink import StoreSink

        store = self.store(settings, options.state)
        return StoreSink(store, table, options.measured, settings.forget_memory_days)
