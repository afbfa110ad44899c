"""Address of a Cassandra keyspace, and the settings of its clients."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, SecretStr

from connectors.store.remote_settings import RemoteStoreSettings
from core.errors import SettingsError
from core.settings import DeleteSettings

SCHEME: Final = "cassandra://"
FORM: Final = "cassandra://HOST:PORT/KEYSPACE?host=…"
_PORT: Final = 9042
_KEYSPACE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,47}")
_OPTIONS: Final = {"host", "dc"}


class CassandraSettings(DeleteSettings, RemoteStoreSettings):
    """Settings of every client of Cassandra."""

    cassandra_user: str = Field("", description="User name for Cassandra; empty: no authentication.")

    cassandra_password: SecretStr = Field(
        SecretStr(""),
        description="Password of cassandra_user. It is never part of an address, because addresses are shown.",
    )

    cassandra_tls: bool = Field(False, description="Whether to connect to Cassandra over TLS.")

    cassandra_ca: Path | None = Field(
        None, description="File of CA certificates to verify Cassandra's certificate with; by default the system's."
    )

    cassandra_certificate: Path | None = Field(
        None, description="File with this client's certificate and private key, if Cassandra requires one."
    )

    store_retention_days: float = Field(
        0.0,
        ge=0,
        le=7000,
        description="Days after ingestion for which Cassandra keeps a post (TTL); 0: for ever.",
    )


@dataclass(frozen=True, slots=True)
class CassandraPlace:
    """Address of a keyspace."""

    hosts: tuple[tuple[str, int], ...]
    """Contact points: host and port of some nodes, from which the driver discovers the others."""
    keyspace: str
    datacenter: str = ""
    """The local datacenter; empty: that of the contact points."""

    @classmethod
    def of(cls, address: str) -> Self:
        """Parse an address; raises `SettingsError` if it is malformed or contains a user or password."""
        try:
            parts = urlsplit(address)
            options = parse_qs(parts.query, strict_parsing=bool(parts.query), keep_blank_values=True)
            if parts.username is not None or parts.password is not None:
                raise SettingsError(
                    "an address of Cassandra must not contain a user or password: set MEMEWAX_CASSANDRA_USER and "
                    "MEMEWAX_CASSANDRA_PASSWORD instead"
                )
            keyspace = parts.path.removeprefix("/")
            names = [parts.netloc, *options.get("host", ())]
            hosts = tuple(dict.fromkeys(_host(it) for it in names))
        except ValueError:
            raise SettingsError(f"{address!r} is not {FORM}") from None
        if not address.startswith(SCHEME) or not options.keys() <= _OPTIONS or parts.fragment:
            raise SettingsError(f"{address!r} is not {FORM}; options are host and dc")
        if not _KEYSPACE.fullmatch(keyspace):
            raise SettingsError(
                f"{address!r} is not {FORM}: the name of a keyspace is a letter and then up to 47 letters, digits and _"
            )
        return cls(hosts, keyspace, options.get("dc", [""])[-1])

    def __str__(self) -> str:
        """Return the normalised address, for messages: the same for all spellings of one keyspace."""
        first, *others = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts]
        more = "&".join(f"host={it}" for it in others)
        return f"{SCHEME}{first}/{self.keyspace}{'?' if more else ''}{more}"


def _host(text: str) -> tuple[str, int]:
    """Parse host and port, by default 9042; raises `ValueError`."""
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.path or parts.query:
        raise ValueError(text)
    return parts.hostname, parts.port or _PORT
