"""Where a keyspace of Cassandra is: its address, and the settings of whoever speaks with it."""

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
    """Every client of Cassandra."""

    cassandra_user: str = Field("", description="Who logs in to Cassandra; empty: nobody needs to.")

    cassandra_password: SecretStr = Field(
        SecretStr(""), description="Password of cassandra_user, which no address holds, since addresses are shown."
    )

    cassandra_tls: bool = Field(False, description="Whether Cassandra is spoken to by TLS.")

    cassandra_ca: Path | None = Field(
        None, description="File of the authorities that Cassandra's certificate is checked by; by default the system's."
    )

    cassandra_certificate: Path | None = Field(
        None, description="File of this client's certificate and its key, where Cassandra asks for one."
    )

    store_retention_days: float = Field(
        0.0,
        ge=0,
        le=7000,
        description="So long after it was read a post is kept in Cassandra, which then removes it by itself; 0: for ever.",
    )


@dataclass(frozen=True, slots=True)
class CassandraPlace:
    """A keyspace."""

    hosts: tuple[tuple[str, int], ...]
    """Of the cluster, some that are asked for the others."""
    keyspace: str
    datacenter: str = ""
    """The one that is near; empty: that of the hosts."""

    @classmethod
    def of(cls, address: str) -> Self:
        """That of an address; raises `SettingsError` where it is none, or holds a password."""
        try:
            parts = urlsplit(address)
            options = parse_qs(parts.query, strict_parsing=bool(parts.query), keep_blank_values=True)
            if parts.username is not None or parts.password is not None:
                raise SettingsError(
                    "an address of Cassandra holds no user and no password: set MEMEWAX_CASSANDRA_USER and "
                    "MEMEWAX_CASSANDRA_PASSWORD"
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
                f"{address!r} is not {FORM}: a keyspace has a letter, and then up to 47 letters, digits and _"
            )
        return cls(hosts, keyspace, options.get("dc", [""])[-1])

    def __str__(self) -> str:
        """As it is shown, and one name for all addresses of one place."""
        first, *others = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts]
        more = "&".join(f"host={it}" for it in others)
        return f"{SCHEME}{first}/{self.keyspace}{'?' if more else ''}{more}"


def _host(text: str) -> tuple[str, int]:
    """Name and port; raises `ValueError`."""
    parts = urlsplit(f"//{text}")
    if not parts.hostname or parts.path or parts.query:
        raise ValueError(text)
    return parts.hostname, parts.port or _PORT
